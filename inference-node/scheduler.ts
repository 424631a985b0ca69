// The step plan: which tokens of which sequences go into the next batch. Pure: state in, batch out.

/** A sequence that holds a slot, as the plan sees it. */
export interface SchedulableSequence {
  /** The engine's sequence id; batches are sorted by it, since the engine splits batches whose ids are out of order. */
  readonly slot: number;
  /** Prompt tokens that are not in the model yet; 0 when the sequence decodes. */
  readonly promptTokensLeft: number;
  /** Rises with arrival: prompts are prefilled first come, first served. */
  readonly arrival: number;
}

export interface StepBudget {
  /** Most tokens in one batch; at least the number of slots. */
  readonly batchTokensMax: number;
  /** Most prompt tokens in this step, so that a long prompt never stalls the sequences that decode. At least 1. */
  readonly prefillTokensMax: number;
}

/** One sequence's share of a batch. */
export interface StepItem {
  readonly slot: number;
  /** Tokens of this sequence in the batch. */
  readonly tokens: number;
  /** Whether the last of them yields the next token: always for a decode, for a prompt only with its last chunk. */
  readonly sample: boolean;
}

/**
 * Plans one step: every decoding sequence gets its one token first, then prompts get chunks in order of arrival until
 * the budgets are used up. The result is sorted by slot; it is empty only when there is no sequence.
 */
export function planStep(sequences: readonly SchedulableSequence[], budget: StepBudget): StepItem[] {
  const items: StepItem[] = [];
  let room = budget.batchTokensMax;
  const prompts: SchedulableSequence[] = [];
  for (const sequence of sequences) {
    if (sequence.promptTokensLeft > 0) prompts.push(sequence);
    else if (room > 0) {
      items.push({ slot: sequence.slot, tokens: 1, sample: true });
      room -= 1;
    }
  }
  prompts.sort((a, b) => a.arrival - b.arrival);
  let prefillRoom = Math.min(room, budget.prefillTokensMax);
  for (const { slot, promptTokensLeft } of prompts) {
    if (prefillRoom <= 0) break;
    const tokens = Math.min(promptTokensLeft, prefillRoom);
    items.push({ slot, tokens, sample: tokens === promptTokensLeft });
    prefillRoom -= tokens;
  }
  return items.sort((a, b) => a.slot - b.slot);
}

export interface PrefillPacerOptions {
  /** How much longer a step may take for prompts than for the sequences that decode in it, as a factor. */
  readonly stallFactor: number;
  /** How long a step of prompts alone may take, in milliseconds: what a cancellation waits for. */
  readonly stepMsMax: number;
  /** The chunk before anything was measured, in tokens. */
  readonly initialTokens: number;
  readonly tokensMin: number;
  readonly tokensMax: number;
}

/** New measurements count this much against what was known. */
const learningRate = 0.3;

/**
 * Sizes prefill chunks by the speeds that were seen, so that one setting suits a laptop and an A100: a step that holds
 * decodes grows by at most `stallFactor` of what they take alone. When more sequences wait for their first token than
 * decode, it grows by their ratio too, up to `stepMsMax`: a burst of arrivals is not served one by one.
 */
export class PrefillPacer {
  readonly #options: PrefillPacerOptions;
  #msPerPromptToken: number | undefined;
  /** Milliseconds of a step of n decodes, by n; at most one entry a slot. */
  readonly #decodeMs: number[] = [];

  constructor(options: PrefillPacerOptions) {
    this.#options = options;
  }

  /** Most prompt tokens for the next step, given how many sequences decode in it and how many have prompt left. */
  tokensMax(decoding: number, prefilling: number): number {
    const { stallFactor, stepMsMax, initialTokens, tokensMin, tokensMax } = this.#options;
    if (this.#msPerPromptToken === undefined) return Math.min(initialTokens, tokensMax);
    const factor = stallFactor * Math.max(1, prefilling / decoding);
    const budgetMs = decoding === 0 ? stepMsMax : Math.min(stepMsMax, factor * this.#decodeEstimateMs(decoding));
    return Math.max(tokensMin, Math.min(Math.floor(budgetMs / this.#msPerPromptToken), tokensMax));
  }

  /** Learns from a step of `decoding` decodes and `promptTokens` prompt tokens. */
  observe(decoding: number, promptTokens: number, elapsedMs: number): void {
    if (promptTokens === 0) this.#decodeMs[decoding] = blend(this.#decodeMs[decoding], elapsedMs);
    // Short chunks say more about a step's fixed cost than about tokens.
    else if (decoding === 0 && promptTokens >= this.#options.tokensMin) {
      this.#msPerPromptToken = blend(this.#msPerPromptToken, elapsedMs / promptTokens);
    }
  }

  /** Without a measurement for this many decodes: the nearest smaller one's, else what so many prompt tokens take. */
  #decodeEstimateMs(decoding: number): number {
    for (let n = decoding; n > 0; n--) {
      const measured = this.#decodeMs[n];
      if (measured !== undefined) return measured;
    }
    return decoding * (this.#msPerPromptToken ?? 0);
  }
}

function blend(known: number | undefined, seen: number): number {
  return known === undefined ? seen : (1 - learningRate) * known + learningRate * seen;
}
