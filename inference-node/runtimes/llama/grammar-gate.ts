// Holds one sequence to a grammar: from its first token on, or from where a thought ends.
import type { Engine } from "./engine.ts";
import type { AddonGrammarState } from "./grammar-states.ts";
import type { GrammarOptions } from "./protocol.ts";

/** What the sampler must be told while the gate stands as it does. */
export interface GateSampling {
  /** Undefined while the text is free. */
  readonly state: AddonGrammarState | undefined;
  /** Tokens that must not be drawn. */
  readonly banned: readonly number[];
}

/** By the first byte of a character, where its second must begin (RFC 3629, section 4). */
const overlongBelow: Readonly<Record<number, number>> = { 224: 0xa0, 240: 0x90 };

export class GrammarGate {
  readonly #engine: Engine;
  readonly #options: GrammarOptions;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #silent: readonly number[];
  #state: AddonGrammarState | undefined;
  /** Text in which `opening` or `after` may have begun. */
  #tail = "";
  #phase: "opening" | "waiting" | "holding";
  /** The first byte of a character whose second may come next and must not make it longer than it need be. */
  #lead: number | undefined;
  /** Whether the sampler was not told yet what changed. */
  #changed = false;

  /** Throws when the engine does not take the grammar. `visibleTokens` are control tokens whose text is given out. */
  constructor(engine: Engine, options: GrammarOptions, visibleTokens: readonly string[]) {
    this.#engine = engine;
    this.#options = options;
    // To the engine a control token is its name: in a string it would pass for text that nobody gets to see.
    const { vocabulary } = engine;
    this.#silent = vocabulary.silentTokens().filter((token) => !visibleTokens.includes(vocabulary.controlText(token)));
    this.#phase = options.opening !== undefined ? "opening" : options.after !== undefined ? "waiting" : "holding";
    if (this.#phase === "opening") this.#state = this.#begin(options.opening?.gbnf ?? "");
    if (this.#phase === "holding") this.#state = this.#begin(options.gbnf);
    // A grammar that the engine does not take must fail the request now, not after its thought.
    if (this.#phase !== "holding") this.#begin(options.gbnf);
  }

  /** Whether what comes next is held to the grammar itself. */
  get holding(): boolean {
    return this.#phase === "holding";
  }

  get sampling(): GateSampling {
    if (this.#state !== undefined) return { state: this.#state, banned: [...this.#silent, ...this.#overlong()] };
    const { mayEndBefore } = this.#options;
    return { state: undefined, banned: mayEndBefore === true ? [] : this.#engine.endOfGenerationTokens };
  }

  /** Whether the sampler must be configured again; asking once is enough. */
  takeChange(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  /** Whether the text may end here; true where it is free. */
  mayEnd(): boolean {
    const [end] = this.#engine.endOfGenerationTokens;
    if (this.#state === undefined) return true;
    return end !== undefined && this.#engine.addon.grammars.mayBeNext(this.#state, end);
  }

  /** Whether a token was drawn although nothing that may be drawn was left. */
  isBanned(token: number): boolean {
    return this.#state !== undefined && this.#silent.includes(token);
  }

  /**
   * Hears what a token added. `forced` says that the sampler did not draw it. Gives a sentence when the text can't go on in
   * the grammar.
   */
  push(bytes: Uint8Array, forced: boolean): string | undefined {
    const text = this.#decoder.decode(bytes, { stream: true });
    this.#hearLead(bytes.at(-1));
    if (this.#phase === "holding") return forced ? this.#skip(text) : undefined;
    this.#tail += text;
    if (this.#phase === "opening") this.#hearOpening();
    return this.#phase === "waiting" ? this.#hearEnd() : undefined;
  }

  #hearLead(last: number | undefined): void {
    if (last === undefined) return;
    const lead = last in overlongBelow ? last : undefined;
    if (lead !== this.#lead && this.#state !== undefined) this.#changed = true;
    this.#lead = lead;
  }

  /** To the engine a character that is written in too many bytes is one; in text it is none, but a mark for each byte. */
  #overlong(): readonly number[] {
    const below = this.#lead === undefined ? undefined : overlongBelow[this.#lead];
    return below === undefined ? [] : this.#engine.vocabulary.tokensBeginning(0x80, below - 1);
  }

  #hearOpening(): void {
    const opening = this.#options.opening?.text ?? "";
    if (this.#tail === opening) {
      this.#enter("waiting", undefined);
      this.#tail = "";
    } else if (!opening.startsWith(this.#tail)) {
      // The other way: the same state holds the text to the grammar already.
      this.#phase = "holding";
    }
  }

  #hearEnd(): string | undefined {
    const after = this.#options.after ?? "";
    const at = this.#tail.indexOf(after);
    if (at < 0) {
      this.#tail = after.length > 1 ? this.#tail.slice(1 - after.length) : "";
      return undefined;
    }
    const rest = this.#tail.slice(at + after.length);
    this.#enter("holding", this.#begin(this.#options.gbnf));
    return this.#skip(rest);
  }

  /** Takes text that the sampler did not draw under the grammar: space before the text is nobody's, all else counts. */
  #skip(text: string): string | undefined {
    if (text.trim() === "" || this.#state === undefined) return undefined;
    const { addon } = this.#engine;
    for (const token of addon.model.tokenize(text, false)) {
      if (!addon.grammars.mayBeNext(this.#state, token)) return "The text behind the thought is not in the grammar.";
      addon.grammars.accept(this.#state, token);
    }
    return undefined;
  }

  #enter(phase: "waiting" | "holding", state: AddonGrammarState | undefined): void {
    this.#phase = phase;
    this.#state = state;
    this.#changed = true;
  }

  #begin(gbnf: string): AddonGrammarState {
    return this.#engine.addon.grammars.begin(gbnf);
  }
}
