// Grammars inside the child: read by the engine once, and copied for each sequence that is held to one.
import type { AddonModel } from "./addon.ts";

/** How far a text is in a grammar. The sampler that holds it moves it on; after an error it must not be used again. */
export type AddonGrammarState = object & { readonly brand?: "grammar state" };

export interface GrammarBindings {
  AddonGrammar: new (gbnf: string, options: { addonExports: unknown; rootRuleName: string }) => object;
  AddonGrammarEvaluationState: {
    new (model: AddonModel, grammar: object): AddonGrammarState;
    new (existing: AddonGrammarState): AddonGrammarState;
  };
  AddonSampler: {
    canBeNextTokenForGrammarEvaluationState(state: AddonGrammarState, token: number): boolean;
    acceptGrammarEvaluationStateToken(state: AddonGrammarState, token: number): void;
  };
}

const limits = { entries: 32, chars: 8_000_000 } as const;

export class GrammarStates {
  readonly #bindings: GrammarBindings;
  readonly #model: AddonModel;
  /** The least recently used first. */
  readonly #starts = new Map<string, AddonGrammarState>();
  #chars = 0;

  constructor(bindings: GrammarBindings, model: AddonModel) {
    this.#bindings = bindings;
    this.#model = model;
  }

  /** A state at the beginning of a grammar whose root rule is `root`. Throws when the engine does not take it. */
  begin(gbnf: string): AddonGrammarState {
    const start = this.#starts.get(gbnf) ?? this.#read(gbnf);
    this.#starts.delete(gbnf);
    this.#starts.set(gbnf, start);
    return new this.#bindings.AddonGrammarEvaluationState(start);
  }

  /** Whether a token may come next; for a token that ends a generation, whether the text may end here. */
  mayBeNext(state: AddonGrammarState, token: number): boolean {
    return this.#bindings.AddonSampler.canBeNextTokenForGrammarEvaluationState(state, token);
  }

  /** Moves a state on by a token that may come next and ends nothing. */
  accept(state: AddonGrammarState, token: number): void {
    this.#bindings.AddonSampler.acceptGrammarEvaluationStateToken(state, token);
  }

  #read(gbnf: string): AddonGrammarState {
    const { AddonGrammar, AddonGrammarEvaluationState } = this.#bindings;
    const grammar = new AddonGrammar(gbnf, { addonExports: this.#bindings, rootRuleName: "root" });
    const start = new AddonGrammarEvaluationState(this.#model, grammar);
    this.#starts.set(gbnf, start);
    this.#chars += gbnf.length;
    for (const oldest of this.#starts.keys()) {
      if (this.#starts.size <= limits.entries && this.#chars <= limits.chars) break;
      this.#starts.delete(oldest);
      this.#chars -= oldest.length;
    }
    return start;
  }
}
