// Brings reused prompt tokens into slots: from the slot itself, a saved state, or a sequence that computes them just now.
import { shortPromptTokensMax } from "../../scheduler.ts";
import type { KvSlots } from "./kv-slots.ts";
import { type BusySlot, commonPrefix, type Placement, placePrompt } from "./prefix-plan.ts";
import type { Sequence } from "./sequence.ts";
import { copyMsMax, type StateCopies } from "./state-copies.ts";
import type { StateStore } from "./state-store.ts";

export interface PrefixReuseOptions {
  readonly slots: KvSlots;
  readonly store: StateStore;
  readonly copies: StateCopies;
  /** Milliseconds that a prompt token takes to compute; undefined before one was measured. */
  readonly prefillMsPerToken: () => number | undefined;
  readonly nowMs: () => number;
}

/** Before anything was measured. */
const prefillMsDefault = 1;

/** The step loop's hand for prefixes. Its methods are called between batches, one at a time. */
export class PrefixReuse {
  readonly #options: PrefixReuseOptions;

  constructor(options: PrefixReuseOptions) {
    this.#options = options;
  }

  /** Chooses the slot of a newcomer among the free ones, of which there must be one, and where its prompt's beginning is. */
  place(prompt: Parameters<typeof placePrompt>[0], running: Iterable<Sequence>): Placement {
    const { slots, store } = this.#options;
    const sequences = [...running];
    return placePrompt(prompt, {
      free: slots.free(),
      busy: busySlots(sequences),
      taken: new Set(sequences.filter(({ deterministic }) => !deterministic).map(({ slot }) => slot)),
      saved: store.list(),
      worthCopying: (saved, size) => this.#worthCopying(saved, size),
    });
  }

  /** Fills the slots of sequences that wait for their prefix, as far as time and the sequences that compute it allow. */
  async prepare(running: ReadonlyMap<number, Sequence>, decoding: boolean): Promise<void> {
    const startedMs = this.#options.nowMs();
    for (const sequence of running.values()) {
      if (sequence.wait === undefined) continue;
      await this.#prepareOne(sequence, running);
      if (decoding && this.#options.nowMs() - startedMs > copyMsMax) break;
    }
    this.#options.store.trim();
  }

  /** Gives a sequence's slot back, with what is in it if others may use that. */
  release(sequence: Sequence): void {
    const { slots } = this.#options;
    if (sequence.salt === undefined) slots.giveBack(sequence.slot, undefined);
    // What the slot held before is still there: the sequence never got to it.
    else if (sequence.wait !== undefined) slots.giveBack(sequence.slot, slots.held(sequence.slot));
    else slots.giveBack(sequence.slot, { tokens: sequence.heldTokens(), salt: sequence.salt });
  }

  async #prepareOne(sequence: Sequence, running: ReadonlyMap<number, Sequence>): Promise<void> {
    const { wait, slot } = sequence;
    if (wait === undefined) return;
    const { slots, store, copies } = this.#options;
    switch (wait.source.kind) {
      case "none":
        await copies.saveHeld(slot);
        slots.clear(slot);
        return sequence.startAfter(0);
      case "slot":
        return sequence.startAfter(slots.cut(slot, wait.reused) ? wait.reused : 0);
      case "saved":
        await copies.saveHeld(slot);
        return this.#load(wait.source.id, sequence, wait.reused);
      default: {
        const from = this.#sourceOf(wait.source.slot, sequence, running);
        if (from === undefined || from.planned < wait.reused) return this.#lookElsewhere(sequence, running);
        // Whoever computes it is not there yet.
        if (from.tokens.length < wait.reused) return;
        await copies.saveHeld(slot);
        const id = await copies.timed(from.tokens.length, () =>
          store.save((wait.source as { slot: number }).slot, from.tokens, sequence.salt ?? ""),
        );
        return id === undefined ? this.#startAnew(sequence) : this.#load(id, sequence, wait.reused);
      }
    }
  }

  /** What is in another slot now, and how much of the sequence's prompt is or will be. */
  #sourceOf(
    slot: number,
    sequence: Sequence,
    running: ReadonlyMap<number, Sequence>,
  ): { tokens: Uint32Array; planned: number } | undefined {
    const { slots } = this.#options;
    const prompt = sequence.prefixRequest.tokens;
    if (slots.isFree(slot)) {
      const held = slots.held(slot);
      if (held.salt !== sequence.salt) return undefined;
      return { tokens: held.tokens, planned: commonPrefix(prompt, held.tokens) };
    }
    for (const other of running.values()) {
      // A later one may be in the slot by now, and wait for this one: nobody waits but for those that came before.
      if (other.arrival > sequence.arrival) continue;
      if (other.slot !== slot || other.salt !== sequence.salt || other.stepsAfterCancel !== undefined) continue;
      const tokens = other.wait === undefined ? other.heldTokens() : new Uint32Array();
      return { tokens, planned: commonPrefix(prompt, other.plannedTokens()) };
    }
    return undefined;
  }

  /** The sequence that computed the prefix has ended before it came there: what it left, or another source, or none. */
  async #lookElsewhere(sequence: Sequence, running: ReadonlyMap<number, Sequence>): Promise<void> {
    const others = [...running.values()].filter((other) => other !== sequence && other.arrival < sequence.arrival);
    const { slots, store, copies } = this.#options;
    const { slot, source, reused } = placePrompt(sequence.prefixRequest, {
      // Its own slot is what it is, whatever else would be chosen now; those of others are sources alone.
      free: [{ slot: sequence.slot, ...slots.held(sequence.slot), lastUsed: 0 }, ...slots.free()],
      busy: busySlots(others),
      taken: new Set(),
      saved: store.list(),
      worthCopying: (saved, size) => this.#worthCopying(saved, size),
    });
    // From its own slot nothing can be copied: it would wait for itself.
    if (("slot" in source ? source.slot : slot) === sequence.slot && source.kind !== "saved" && reused > 0) {
      await copies.saveHeld(sequence.slot);
      return sequence.startAfter(slots.cut(sequence.slot, reused) ? reused : 0);
    }
    if (source.kind === "none" || source.kind === "slot") return this.#startAnew(sequence);
    sequence.wait = { source, reused };
  }

  async #startAnew(sequence: Sequence): Promise<void> {
    sequence.wait = { source: { kind: "none" }, reused: 0 };
    await this.#prepareOne(sequence, new Map());
  }

  async #load(id: number, sequence: Sequence, reused: number): Promise<void> {
    const { slots, store, copies } = this.#options;
    const { slot } = sequence;
    slots.clear(slot);
    const size = store.list().find((state) => state.id === id)?.tokens.length ?? 0;
    const tokens = await copies.timed(size, () => store.load(id, slot));
    if (tokens === undefined) {
      slots.clear(slot);
      return sequence.startAfter(0);
    }
    slots.hold(slot, tokens, sequence.salt ?? "");
    sequence.startAfter(slots.cut(slot, reused) ? reused : 0);
  }

  #worthCopying(tokensSaved: number, stateTokens: number): boolean {
    const computeMs = tokensSaved * (this.#options.prefillMsPerToken() ?? prefillMsDefault);
    // Saved and loaded.
    return computeMs > 2 * this.#options.copies.expectedMs(stateTokens);
  }
}

function busySlots(running: Iterable<Sequence>): BusySlot[] {
  return [...running].flatMap((sequence) => {
    const { salt, slot, position: held, promptTokens } = sequence;
    if (salt === undefined) return [];
    return [{ slot, salt, tokens: sequence.plannedTokens(), held, long: promptTokens > shortPromptTokensMax }];
  });
}
