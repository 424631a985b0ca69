// What the benchmark drives: something that answers several streams at once, and what one round of it showed.
import { Histogram } from "./histogram.ts";

/** A sentence for the person at the terminal; no stack is shown. */
export class BenchError extends Error {
  override readonly name = "BenchError";
}

export interface Sampling {
  readonly maxTokens: number;
  readonly temperature: number;
  /** Goes on after the model's own end: `ignore_eos` of vLLM, llama-server and others. */
  readonly ignoreEos: boolean;
}

/** One message of a chat, as servers take it. */
export interface ChatMessage {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** What a server says of a finished answer. */
export interface ChatEnd {
  /** Undefined when it says nothing of tokens. */
  readonly usage: ChatUsage | undefined;
}

interface ChatUsage {
  readonly promptTokens: number;
  /** Prompt tokens that it had computed before; undefined when it does not say. */
  readonly cachedTokens: number | undefined;
  readonly completionTokens: number;
}

export interface RoundPlan {
  /** One list of prompts a stream; a stream asks them one after another, all streams at the same time. */
  readonly streams: readonly (readonly string[])[];
  readonly sampling: Sampling;
}

/** Something that can be measured. Only one target runs at a time. */
export interface Target {
  /** For the reader: a URL or what the loop runs. */
  readonly label: string;
  /** The model's id, known after `open`. */
  readonly model: string;
  /** Whether it may answer faster when it has seen a prompt before. */
  readonly remembers: boolean;
  /** Makes ready. Throws a BenchError when it can't be measured. */
  open(signal: AbortSignal): Promise<void>;
  /** Prompt tokens of one text, as the target counts them; undefined when it does not say. */
  countPromptTokens(prompt: string, signal: AbortSignal): Promise<number | undefined>;
  round(plan: RoundPlan, signal: AbortSignal): Promise<RoundRecord>;
  close(): Promise<void>;
}

interface RequestRecord {
  readonly promptTokens: number | undefined;
  /** Of the prompt's; undefined when the server does not say. */
  readonly cachedTokens?: number | undefined;
  readonly completionTokens: number;
  /** Whether the server counted the tokens (`usage`) or we its chunks. */
  readonly counted: "usage" | "chunks";
}

/** Different reasons that are kept apart; the rest share one. */
const reasonsMax = 16;

/** Collects one round in fixed memory. Times are milliseconds of one monotonic clock. */
export class RoundRecord {
  readonly ttft = new Histogram();
  readonly itl = new Histogram();
  readonly errors = new Map<string, number>();
  requests = 0;
  errorCount = 0;
  promptTokens = 0;
  cachedTokens = 0;
  completionTokens = 0;
  chunks = 0;
  /** Requests whose tokens were counted by their chunks, for want of `usage`. */
  countedByChunks = 0;
  #firstStart = Number.POSITIVE_INFINITY;
  #lastFirstToken = Number.NEGATIVE_INFINITY;
  #lastToken = Number.NEGATIVE_INFINITY;

  /** A request left at `at`. */
  started(at: number): void {
    this.#firstStart = Math.min(this.#firstStart, at);
  }

  /** A chunk with text came at `at`; `previous` is when the one before it did, or the request's start for the first. */
  chunk(at: number, previous: number, first: boolean): void {
    (first ? this.ttft : this.itl).record(at - previous);
    if (first) this.#lastFirstToken = Math.max(this.#lastFirstToken, at);
    this.chunks += 1;
    this.#lastToken = Math.max(this.#lastToken, at);
  }

  succeeded(request: RequestRecord): void {
    this.requests += 1;
    this.promptTokens += request.promptTokens ?? 0;
    this.cachedTokens += request.cachedTokens ?? 0;
    this.completionTokens += request.completionTokens;
    if (request.counted === "chunks") this.countedByChunks += 1;
  }

  failed(reason: string): void {
    this.requests += 1;
    this.errorCount += 1;
    const key = this.errors.has(reason) || this.errors.size < reasonsMax ? reason : "other errors";
    this.errors.set(key, (this.errors.get(key) ?? 0) + 1);
  }

  /**
   * Milliseconds from the first request sent until every request had its first token: with one request a stream, until all
   * streams speak. NaN when a request failed, since that one never had one.
   */
  get allFirstTokensMs(): number {
    const time = this.#lastFirstToken - this.#firstStart;
    return Number.isFinite(time) && this.errorCount === 0 ? time : Number.NaN;
  }

  /** Milliseconds from the first request sent to the last chunk with text; NaN before any. */
  get wallMs(): number {
    const wall = this.#lastToken - this.#firstStart;
    return Number.isFinite(wall) ? wall : Number.NaN;
  }

  /** Completion tokens of all streams per second of `wallMs`. */
  get tokensPerSecond(): number {
    return (this.completionTokens / this.wallMs) * 1000;
  }
}

/** How often each reason of a failure came in these rounds. */
export function errorsOf(records: readonly RoundRecord[]): Record<string, number> {
  const errors: Record<string, number> = {};
  for (const record of records) {
    for (const [reason, count] of record.errors) errors[reason] = (errors[reason] ?? 0) + count;
  }
  return errors;
}
