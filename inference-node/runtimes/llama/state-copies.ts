// Copies of sequences' states: what they cost, and when what a slot holds is worth one.
import type { KvSlots } from "./kv-slots.ts";
import type { StateStore } from "./state-store.ts";

export interface StateCopiesOptions {
  readonly slots: KvSlots;
  readonly store: StateStore;
  readonly nowMs: () => number;
}

/** Copies may hold up the streams that decode for so long in one step. */
export const copyMsMax = 100;
/** A state of fewer tokens is not worth a file when its slot is needed. */
const savedTokensMin = 32;
/** Before anything was measured. */
const copyMsDefault = 0.03;
const copyMsFixed = 2;

/** One for all who copy, so that each learns from the others' copies. */
export class StateCopies {
  readonly #options: StateCopiesOptions;
  #msPerToken = copyMsDefault;

  constructor(options: StateCopiesOptions) {
    this.#options = options;
  }

  /** What saving a state of so many tokens takes, in milliseconds; loading it takes as long. */
  expectedMs(tokens: number): number {
    return copyMsFixed + tokens * this.#msPerToken;
  }

  /** Makes a copy of so many tokens, and learns from it if it comes about. */
  async timed<T>(tokens: number, copy: () => Promise<T | undefined>): Promise<T | undefined> {
    const { nowMs } = this.#options;
    const startedMs = nowMs();
    const result = await copy();
    const ms = Math.max(0, nowMs() - startedMs - copyMsFixed);
    if (tokens > 0 && result !== undefined) this.#msPerToken = 0.7 * this.#msPerToken + 0.3 * (ms / tokens);
    return result;
  }

  /** Tokens that would be lost with what a free slot holds: 0 when they are few, or saved already. */
  unsavedTokens(slot: number): number {
    const { tokens, saved } = this.#options.slots.held(slot);
    return saved || tokens.length < savedTokensMin ? 0 : tokens.length;
  }

  /** Saves what a slot holds before it is overwritten, if that is worth it. */
  async saveHeld(slot: number): Promise<void> {
    const { slots, store } = this.#options;
    const { tokens, salt } = slots.held(slot);
    if (!store.keeps || tokens.length < savedTokensMin) return;
    if (!store.covers(tokens, salt)) await this.timed(tokens.length, () => store.save(slot, tokens, salt));
    // Also when that failed: it would fail again.
    slots.noteSaved(slot);
  }
}
