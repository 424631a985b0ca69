// One generation inside the child: its place in the prompt, its sampler, its text and its end.
import { OutputText } from "../../generation.ts";
import { Code } from "../../node-error.ts";
import type { SchedulableSequence } from "../../scheduler.ts";
import type { AddonSampler, AddonSamplerConfig } from "./addon.ts";
import type { Engine } from "./engine.ts";
import { GrammarGate } from "./grammar-gate.ts";
import type { PrefixRequest, PrefixSource } from "./prefix-plan.ts";
import { PromptLookup } from "./prompt-lookup.ts";
import type { FinishReasonName, GenerateOptions, GenerationEvent, TokenScore } from "./protocol.ts";
import { Scorer, samplerConfig } from "./sampling.ts";

const encoder = new TextEncoder();

/** What a sequence waits for before it may compute anything: tokens of its prompt that come from elsewhere. */
export type PrefixWait = { readonly reused: number; readonly source: PrefixSource };

/** A request's prompt as a request for reuse. */
export function prefixRequestOf({ tokens, prefixSalt, promptLogprobs }: GenerateOptions): PrefixRequest {
  // Every token of a prompt that is scored has to be computed.
  return { tokens, salt: prefixSalt ?? "", reuse: prefixSalt !== undefined && promptLogprobs === undefined };
}

/** A generation that holds a slot of the context. */
export class Sequence implements SchedulableSequence {
  readonly arrival: number;
  readonly key: number;
  /** Set until the reused part of the prompt is in the slot. */
  wait: PrefixWait | undefined;
  hasWrongGuesses = false;
  /** Steps that ran after a cancellation was heard; undefined while it was not. */
  stepsAfterCancel: number | undefined;
  readonly #engine: Engine;
  readonly #options: GenerateOptions;
  readonly #gate: GrammarGate | undefined;
  readonly #sampler: AddonSampler;
  readonly #scorer: Scorer | undefined;
  readonly #text: OutputText<TokenScore>;
  readonly #promptScores: TokenScore[] = [];
  readonly #startedMs: number;
  #slot: number;
  #prefilledMs = 0;
  /** Tokens in the context. */
  #position = 0;
  #cachedTokens = 0;
  #lastToken = 0;
  readonly #generated: number[] = [];
  /** Tokens that come before the model chooses again. */
  #forced: number[] = [];
  #wasForced = false;
  /** Why the generation can't go on; its next token then ends it. */
  #failure: { message: string; param: string } | undefined;
  #completionTokens = 0;
  readonly #lookup: PromptLookup | undefined;
  /** What may come next, put into the next batch behind the last token. */
  #guess: Uint32Array = new Uint32Array();
  #guessed = 0;
  #guessedRight = 0;

  constructor(engine: Engine, key: number, options: GenerateOptions, slot: number, arrival: number) {
    const length = options.tokens.length + options.maxTokens;
    // The node has checked this; a sequence that outgrows its context would end every stream of the process.
    if (length > engine.info.contextLength) throw new Error(`${length} tokens do not fit the context`);
    this.#engine = engine;
    this.key = key;
    this.#options = options;
    this.#slot = slot;
    this.arrival = arrival;
    this.#startedMs = performance.now();
    if (options.grammar !== undefined) this.#gate = new GrammarGate(engine, options.grammar, options.visibleTokens);
    this.#sampler = engine.addon.createSampler(this.#samplerConfig());
    const scored = options.logprobs !== undefined || options.promptLogprobs !== undefined;
    this.#scorer = scored ? new Scorer(engine.addon, engine.vocabulary) : undefined;
    this.#text = new OutputText(options.stopStrings);
    this.#lookup = options.guessTokensMax > 0 && !options.deterministic ? new PromptLookup(options.tokens) : undefined;
  }

  /** The engine's sequence that holds its tokens. */
  get slot(): number {
    return this.#slot;
  }

  /** Goes on in another slot, which holds the same tokens. Between batches only. */
  moveTo(slot: number): void {
    this.#slot = slot;
  }

  /** Tokens of the prompt that had to be computed. */
  get promptTokens(): number {
    return this.#options.tokens.length - this.#cachedTokens;
  }

  get position(): number {
    return this.#position;
  }

  get deterministic(): boolean {
    return this.#options.deterministic;
  }

  /** Who may use this sequence's tokens, or leave some for it; undefined when nobody may. */
  get salt(): string | undefined {
    return this.#options.prefixSalt;
  }

  /** The prompt as a request for reuse. */
  get prefixRequest(): PrefixRequest {
    return prefixRequestOf(this.#options);
  }

  /** The tokens that are in the slot now. */
  heldTokens(): Uint32Array {
    const prompt = this.#options.tokens;
    if (this.#position <= prompt.length) return prompt.slice(0, this.#position);
    const held = new Uint32Array(this.#position);
    held.set(prompt);
    held.set(this.#generated.slice(0, this.#position - prompt.length), prompt.length);
    return held;
  }

  /** The tokens that are in the slot now, and the rest of the prompt, which will be. */
  plannedTokens(): Uint32Array {
    return this.#position <= this.#options.tokens.length ? this.#options.tokens : this.heldTokens();
  }

  /** Begins after `count` tokens of the prompt that are in the slot already. */
  startAfter(count: number): void {
    this.wait = undefined;
    this.#position = count;
    this.#cachedTokens = count;
  }

  get promptTokensLeft(): number {
    return Math.max(0, this.#options.tokens.length - this.#position);
  }

  get completionTokens(): number {
    return this.#completionTokens;
  }

  /** Tokens after which it ends, whatever it says. */
  get completionTokensLeft(): number {
    return this.#options.maxTokens - this.#completionTokens;
  }

  get guessedTokens(): number {
    return this.promptTokensLeft > 0 ? 0 : this.#guess.length;
  }

  /** Puts the next `count` tokens into the batch, of a decode the last one and guesses; gives the batch indexes whose logits the step must read. */
  addToBatch(count: number, sample: boolean): Uint32Array {
    const prefilling = this.promptTokensLeft > 0;
    const tokens = prefilling
      ? this.#options.tokens.subarray(this.#position, this.#position + count)
      : Uint32Array.of(this.#lastToken, ...this.#guess.subarray(0, count - 1));
    const logits =
      !prefilling || this.#options.promptLogprobs !== undefined
        ? Uint32Array.from({ length: count }, (_, i) => i)
        : sample
          ? Uint32Array.of(count - 1)
          : new Uint32Array();
    const indexes = this.#engine.addon.context.addToBatch(this.#slot, this.#position, tokens, logits);
    this.#position += count;
    return indexes;
  }

  /** Reads the logits of prompt tokens where they were asked for. `indexes` belong to the last `indexes.length` tokens. */
  async scorePrompt(indexes: Uint32Array): Promise<void> {
    const options = this.#options.promptLogprobs;
    if (options === undefined || this.#scorer === undefined || this.#completionTokens > 0) return;
    const first = this.#position - indexes.length;
    for (let i = 0; i < indexes.length; i++) {
      const token = this.#options.tokens[first + i + 1];
      // The last prompt token's logits are the first generated token's.
      if (token === undefined) return;
      this.#promptScores.push(await this.#scorer.score(indexes[i] as number, token, options.top));
    }
  }

  #samplerConfig(): AddonSamplerConfig {
    const { endOfGenerationTokens, info } = this.#engine;
    return samplerConfig(this.#options.sampling, {
      endOfGenerationTokens,
      contextLength: info.contextLength,
      promptTokens: this.#options.tokens,
      generated: this.#generated,
      gate: this.#gate?.sampling,
    });
  }

  /** Goes on with these tokens, as if they had been sampled. Never more than the context has room for come of it. */
  force(tokens: Uint32Array): void {
    // What closes a thought comes too late when the grammar has begun.
    if (this.#gate?.holding) return;
    this.#forced.push(...tokens);
  }

  /**
   * Samples from the batch indexes of a step: the next token, and as long as the guesses were right the ones after it.
   * The events are appended. `hasWrongGuesses` then says whether the engine holds tokens beyond `position`.
   *
   * @returns whether the generation has ended.
   */
  async takeTokens(indexes: Uint32Array, events: GenerationEvent[]): Promise<boolean> {
    const guess = this.#guess;
    // Of a prompt only the last token is asked; of a decode each.
    const asked = this.#completionTokens === 0 ? indexes.subarray(-1) : indexes;
    const first = this.#position - asked.length;
    this.#guessed += asked.length - 1;
    this.hasWrongGuesses = false;
    for (const [i, index] of asked.entries()) {
      const { token, score } = await this.#sample(index);
      const ended = this.accept(token, score, events);
      this.#position = first + i + 1;
      if (i + 1 === asked.length) {
        if (ended) return true;
        break;
      }
      this.hasWrongGuesses = ended || token !== guess[i];
      if (ended) return true;
      if (this.hasWrongGuesses) break;
      this.#guessedRight += 1;
    }
    const room = this.#options.maxTokens - this.#completionTokens - 1;
    const most = Math.min(this.#options.guessTokensMax, room);
    this.#guess = this.#lookup === undefined || this.#forced.length > 0 ? new Uint32Array() : this.#lookup.guess(most);
    return false;
  }

  /** Samples the next token from a batch index, or takes one that is forced. */
  async #sample(batchIndex: number): Promise<{ token: number; score: TokenScore | undefined }> {
    const { minTokens } = this.#options.sampling;
    // From here on the generation may end. The sampler keeps its seed and its history.
    const mayEndNow = minTokens > 0 && this.#completionTokens === minTokens;
    // A grammar moves on with what is drawn, so that it waits until nothing is forced any more.
    const gateChanged = this.#forced.length === 0 && this.#gate?.takeChange() === true;
    if (mayEndNow || gateChanged) this.#sampler.applyConfig(this.#samplerConfig());
    // The first sample of a step settles the engine's outputs for the others, so it is taken in any case.
    const sampled = await this.#draw(batchIndex);
    this.#wasForced = this.#forced.length > 0;
    const token = this.#forced.shift() ?? sampled;
    const options = this.#options.logprobs;
    const score = options && token >= 0 ? await this.#scorer?.score(batchIndex, token, options.top) : undefined;
    return { token, score };
  }

  /** Draws a token; -1 when the text must end, which it also must when nothing that may be drawn fits the grammar. */
  async #draw(batchIndex: number): Promise<number> {
    const { context } = this.#engine.addon;
    const gate = this.#gate;
    if (gate?.sampling.state === undefined || this.#forced.length > 0)
      return await context.sampleToken(batchIndex, this.#sampler);
    // The engine draws some token or other when none is left; what it says of the grammar afterwards is no use.
    const mayEnd = gate.mayEnd();
    const token = await context.sampleToken(batchIndex, this.#sampler).catch(() => -1);
    if (token >= 0 && !this.#engine.isEndOfGeneration(token) && !gate.isBanned(token)) return token;
    if (!mayEnd) {
      const message = "No token that may be drawn fits the constraint: logit_bias forbids all that do.";
      this.#failure = { message, param: "sampling.logit_bias" };
    }
    return -1;
  }

  /** Takes a sampled token: appends its events, and says whether the generation has ended. */
  accept(token: number, score: TokenScore | undefined, events: GenerationEvent[]): boolean {
    if (this.#prefilledMs === 0) this.#tellPrefilled(events);
    if (this.#failure !== undefined) return this.#fail(this.#failure, events);
    const ended = token < 0 || this.#engine.isEndOfGeneration(token);
    if (ended && !(this.#options.sampling.ignoreEos && token >= 0)) return this.#finish("stop", "", events);
    this.#completionTokens += 1;
    this.#lastToken = token;
    this.#generated.push(token);
    this.#lookup?.push(token);
    if (this.#options.stopTokenIds.includes(token)) return this.#finish("stop_sequence", "", events);
    const bytes = this.#bytes(token);
    const left = this.#gate?.push(bytes, this.#wasForced);
    if (left !== undefined) this.#failure = { message: left, param: "constraint" };
    if (this.#failure !== undefined) return this.#fail(this.#failure, events);
    const { text, marks, stop } = this.#text.push(bytes, score);
    this.#tellDelta(text, marks, events);
    if (stop !== undefined) return this.#finish("stop_sequence", stop, events);
    if (this.#completionTokens < this.#options.maxTokens) return false;
    return this.#finish(this.#options.limitedByContext ? "context_length" : "length", "", events);
  }

  /** What a token adds to the output: nothing if it is a control token, unless the request wants to see it. */
  #bytes(token: number): Uint8Array {
    const { vocabulary } = this.#engine;
    const bytes = vocabulary.bytes(token);
    const { visibleTokens } = this.#options;
    if (bytes.length > 0 || visibleTokens.length === 0) return bytes;
    const text = vocabulary.controlText(token);
    return visibleTokens.includes(text) ? encoder.encode(text) : bytes;
  }

  /** Frees what the engine holds for this generation, but for its slot. */
  release(): void {
    this.#sampler.dispose();
    this.#scorer?.dispose();
  }

  #tellPrefilled(events: GenerationEvent[]): void {
    this.#prefilledMs = performance.now();
    events.push({
      type: "prefilled",
      key: this.key,
      promptTokens: this.#options.tokens.length,
      cachedTokens: this.#cachedTokens,
      scores: this.#promptScores,
    });
  }

  #tellDelta(text: string, scores: readonly TokenScore[], events: GenerationEvent[]): void {
    if (text === "" && scores.length === 0) return;
    events.push({ type: "delta", key: this.key, text, completionTokens: this.#completionTokens, scores });
  }

  #fail(failure: { message: string; param: string }, events: GenerationEvent[]): true {
    events.push({ type: "failed", key: this.key, ...failure, code: Code.FAILED_PRECONDITION });
    return true;
  }

  #finish(reason: FinishReasonName, stop: string, events: GenerationEvent[]): true {
    let ended = { reason, stop };
    if (stop === "") {
      const rest = this.#text.end();
      this.#tellDelta(rest.text, rest.marks, events);
      if (rest.stop !== undefined) ended = { reason: "stop_sequence", stop: rest.stop };
    }
    const now = performance.now();
    events.push({
      type: "finished",
      key: this.key,
      ...ended,
      completionTokens: this.#completionTokens,
      cachedTokens: this.#cachedTokens,
      guessedTokens: this.#guessed,
      guessedRight: this.#guessedRight,
      prefillMs: this.#prefilledMs - this.#startedMs,
      decodeMs: now - this.#prefilledMs,
    });
    return true;
  }
}
