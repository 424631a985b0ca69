// The step plan: which tokens of which sequences go into the next batch. Pure: state in, batch out.

/** A sequence that holds a slot, as the plan sees it. */
export interface SchedulableSequence {
  /** The engine's sequence id; batches are sorted by it, since the engine splits batches whose ids are out of order. */
  readonly slot: number;
  /** Tokens of the prompt that have to be computed. */
  readonly promptTokens: number;
  /** Prompt tokens that are not in the model yet; 0 when the sequence decodes. */
  readonly promptTokensLeft: number;
  /** Of a sequence that decodes: guesses of its next tokens, to be checked in the same step. */
  readonly guessedTokens?: number | undefined;
  /** Rises with arrival: prompts are prefilled first come, first served. */
  readonly arrival: number;
}

export interface StepBudget {
  /** Most tokens in one batch; at least the number of slots. */
  readonly batchTokensMax: number;
  /** Most tokens of short prompts in this step. At least 1. */
  readonly shortTokensMax: number;
  /** Most tokens of long prompts in this step, so that one never stalls the sequences that decode. At least 1. */
  readonly longTokensMax: number;
}

/** One sequence's share of a batch. */
export interface StepItem {
  readonly slot: number;
  /** Tokens of this sequence in the batch. */
  readonly tokens: number;
  /** Whether the last of them yields the next token: always for a decode, for a prompt only with its last chunk. Guesses
   * follow a decode's token, and each of them yields one, too. */
  readonly sample: boolean;
}

/** A prompt of at most so many tokens goes ahead of long ones: it costs little and somebody sees its first token soon. */
export const shortPromptTokensMax = 256;

/**
 * The CPU engine's attention takes rows of one sequence by 64, and fewer by a slower way: at 1,000 tokens of context a
 * chunk of 63 takes as long as one of 85. Beside other sequences the first row is computed with theirs, so that a chunk
 * has one more.
 */
const chunkGrainTokens = 64;

/**
 * Plans one step: every decoding sequence gets its one token first, then their guesses, then short prompts and long prompts get chunks, each
 * kind in order of arrival and within its own budget, so that neither starves the other. The result is sorted by slot;
 * it is empty only when there is no sequence.
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
  const pieces = { grain: chunkGrainTokens, lead: items.length > 0 ? 1 : 0 };
  room -= addGuesses(sequences, room, items);
  prompts.sort((a, b) => a.arrival - b.arrival);
  const isShort = ({ promptTokens }: SchedulableSequence): boolean => promptTokens <= shortPromptTokensMax;
  const long = prompts.filter((prompt) => !isShort(prompt));
  // One token of the batch is kept for a long prompt, however many short ones there are.
  const roomForShort = Math.min(budget.shortTokensMax, room - (long.length > 0 ? 1 : 0));
  room -= addChunks(prompts.filter(isShort), roomForShort, pieces, items);
  addChunks(long, Math.min(budget.longTokensMax, room), pieces, items);
  return items.sort((a, b) => a.slot - b.slot);
}

/** Adds guessed tokens to the items of their sequences, as room allows; gives how many. */
function addGuesses(sequences: readonly SchedulableSequence[], room: number, items: StepItem[]): number {
  // Where prompts wait, half of the room is theirs.
  const waiting = sequences.some(({ promptTokensLeft }) => promptTokensLeft > 0);
  const roomForGuesses = waiting ? Math.floor(room / 2) : room;
  const guessed = new Map(sequences.map(({ slot, guessedTokens }) => [slot, guessedTokens ?? 0]));
  let left = roomForGuesses;
  for (const [i, item] of items.entries()) {
    const more = Math.min(guessed.get(item.slot) ?? 0, left);
    if (more > 0) items[i] = { ...item, tokens: item.tokens + more };
    left -= more;
  }
  return roomForGuesses - left;
}

/**
 * Adds chunks of prompts until the tokens are used up; gives how many were. A chunk that leaves a part of its prompt for
 * later is made of whole grains where it holds one, and one that would hold less than a grain is left for later behind
 * another chunk.
 */
function addChunks(
  prompts: readonly SchedulableSequence[],
  tokensMax: number,
  { grain, lead }: { grain: number; lead: number },
  items: StepItem[],
): number {
  let left = tokensMax;
  for (const { slot, promptTokensLeft } of prompts) {
    let tokens = Math.min(promptTokensLeft, left);
    if (tokens < promptTokensLeft) {
      if (tokens >= grain + lead) tokens -= (tokens - lead) % grain;
      else if (left < tokensMax) break;
    }
    if (tokens <= 0) break;
    items.push({ slot, tokens, sample: tokens === promptTokensLeft });
    left -= tokens;
  }
  return tokensMax - left;
}

export interface PrefillPacerOptions {
  /** How much longer a step may take for prompts than for the sequences that decode in it, as a factor. */
  readonly stallFactor: number;
  /** How long prompts may hold up a step, in milliseconds; up to three times that when nobody decodes or many wait. */
  readonly stepMsMax: number;
  /** The chunk before anything was measured, in tokens. */
  readonly initialTokens: number;
  readonly tokensMax: number;
}

/** A prompt alone of fewer tokens is not measured. */
const informativeTokens = 4;

/** New measurements count this much against what was known. */
const learningRate = 0.3;

/**
 * Sizes prefill chunks by the speeds that were seen, so that one setting suits a laptop and an A100. Short prompts may
 * take up a whole step, and the longer a step the more of them wait: together and soon they decode in one large batch.
 * Beside decodes, a long prompt may lengthen a step by at most `stallFactor` of what they take alone.
 */
export class PrefillPacer {
  readonly #options: PrefillPacerOptions;
  #msPerPromptToken: number | undefined;
  /** What a token of a small chunk adds to a step of decodes: more than one of a large chunk. */
  #msPerTokenBeside: number | undefined;
  /** Milliseconds of a step of n decodes, by n; at most one entry a slot. */
  readonly #decodeMs: number[] = [];

  constructor(options: PrefillPacerOptions) {
    this.#options = options;
  }

  /** What a prompt token takes, in milliseconds; undefined before one was measured. */
  get msPerPromptToken(): number | undefined {
    return this.#msPerPromptToken;
  }

  /** The budget of the next step, given how many sequences decode in it and how many have prompt left. */
  budget(decoding: number, prefilling: number): Pick<StepBudget, "shortTokensMax" | "longTokensMax"> {
    const { stallFactor, stepMsMax } = this.#options;
    const idle = decoding === 0;
    // The more wait, the more a whole prompt in one go gains; three times a step is where larger chunks gain no more.
    const shortMs = stepMsMax * Math.min(3, Math.max(idle ? 2 : 1, prefilling));
    const shortTokensMax = this.#tokensIn(shortMs, this.#msPerPromptToken);
    if (idle) {
      // Of less than a grain the slower pace would be learnt, and by that less than a grain be taken for ever.
      const tokens = Math.max(shortTokensMax, Math.min(chunkGrainTokens, this.#options.tokensMax));
      return { shortTokensMax: tokens, longTokensMax: tokens };
    }
    const longMs = Math.min(stepMsMax, stallFactor * this.#decodeEstimateMs(decoding));
    return { shortTokensMax, longTokensMax: this.#tokensIn(longMs, this.#msPerTokenBeside ?? this.#msPerPromptToken) };
  }

  #tokensIn(ms: number, msPerToken: number | undefined): number {
    const { initialTokens, tokensMax } = this.#options;
    if (msPerToken === undefined) return Math.min(initialTokens, tokensMax);
    return Math.max(1, Math.min(Math.floor(ms / msPerToken), tokensMax));
  }

  /** Learns from a step of `decoding` decodes and `promptTokens` prompt tokens. */
  observe(decoding: number, promptTokens: number, elapsedMs: number): void {
    if (promptTokens === 0) this.#decodeMs[decoding] = blend(this.#decodeMs[decoding], elapsedMs);
    else if (decoding === 0) {
      // Short chunks say more about a step's fixed cost than about tokens.
      if (promptTokens < informativeTokens) return;
      this.#msPerPromptToken = blend(this.#msPerPromptToken, elapsedMs / promptTokens);
    } else if (promptTokens <= chunkGrainTokens && this.#decodeMs[decoding] !== undefined) {
      const added = Math.max(0, elapsedMs - this.#decodeMs[decoding]) / promptTokens;
      this.#msPerTokenBeside = blend(this.#msPerTokenBeside, added);
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
