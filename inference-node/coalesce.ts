// Merges the deltas of one stream into fewer messages, at most an interval apart.
import type { Delta } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Clock } from "./clock.ts";

export interface CoalescerOptions {
  /** Most milliseconds that a delta is held back. */
  intervalMs: number;
  clock: Clock;
  /** Takes a merged delta; resolves when more may follow. */
  emit: (delta: Delta) => Promise<void> | undefined;
}

/** Holds the newest deltas of a stream back until the interval since the last message is over. */
export class Coalescer {
  readonly #options: CoalescerOptions;
  readonly #stopped = new AbortController();
  #held: Delta | undefined;
  #windowOpen = false;
  #emitting: Promise<void> | undefined;

  constructor(options: CoalescerOptions) {
    this.#options = options;
  }

  /** Takes the next delta. Resolves when more may follow; rejects as `emit` does. */
  push(delta: Delta): Promise<void> | undefined {
    if (this.#held !== undefined) {
      if (mergeInto(this.#held, delta)) return this.#emitting;
      this.#emitHeld();
      this.#held = delta;
      return this.#emitting;
    }
    this.#held = delta;
    if (!this.#windowOpen) this.#emitHeld();
    return this.#emitting;
  }

  /** Sends what is held and ends: nothing is emitted after it. */
  async finish(): Promise<void> {
    this.#stopped.abort();
    if (this.#held !== undefined) this.#emitHeld();
    await this.#emitting;
  }

  /** Ends without sending what is held. */
  stop(): void {
    this.#stopped.abort();
    this.#held = undefined;
  }

  #emitHeld(): void {
    const delta = this.#held;
    this.#held = undefined;
    if (delta === undefined) return;
    const before = this.#emitting;
    const emitted = before ? before.then(() => this.#options.emit(delta)) : this.#options.emit(delta);
    this.#emitting = emitted;
    // A failed emit is the next push's to report; nobody may be awaiting this one.
    emitted?.then(
      () => {
        if (this.#emitting === emitted) this.#emitting = undefined;
      },
      () => undefined,
    );
    if (!this.#windowOpen && !this.#stopped.signal.aborted) this.#openWindow();
  }

  #openWindow(): void {
    this.#windowOpen = true;
    const close = (): void => {
      this.#windowOpen = false;
      if (this.#held !== undefined) this.#emitHeld();
    };
    this.#options.clock.sleep(this.#options.intervalMs, this.#stopped.signal).then(close, () => undefined);
  }
}

/** Adds `next` to `held` when they are pieces of the same thing; false when they are not. */
function mergeInto(held: Delta, next: Delta): boolean {
  if (held.choiceIndex !== next.choiceIndex) return false;
  const { part } = held;
  if (part.case === "text" && next.part.case === "text") part.value += next.part.value;
  else if (part.case === "reasoning" && next.part.case === "reasoning") part.value += next.part.value;
  else return false;
  held.logprobs.push(...next.logprobs);
  held.completionTokens = next.completionTokens;
  return true;
}
