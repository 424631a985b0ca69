// Moves running sequences into the gaps that ended ones left, so that the engine computes a batch in one go.
import type { StepItem } from "../../scheduler.ts";
import { countPieces, PieceCost } from "./batch-pieces.ts";
import type { KvSlots } from "./kv-slots.ts";
import { type BatchMember, type MoveTarget, planMove } from "./move-plan.ts";
import type { Sequence } from "./sequence.ts";
import { copyMsMax, type StateCopies } from "./state-copies.ts";
import type { StateStore } from "./state-store.ts";

export interface SlotMovesOptions {
  readonly slots: KvSlots;
  readonly store: StateStore;
  readonly copies: StateCopies;
  /** Milliseconds that a prompt token takes to compute; undefined before one was measured. */
  readonly prefillMsPerToken: () => number | undefined;
  readonly nowMs: () => number;
}

/** After a move that failed, no other is tried for so long: the next state would not fit on the disk either. */
const pauseMs = 60_000;

/** The step loop's hand for gaps. Its methods are called between batches, one at a time. */
export class SlotMoves {
  readonly #options: SlotMovesOptions;
  readonly #pieceCost = new PieceCost();
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: SlotMovesOptions) {
    this.#options = options;
  }

  /** Learns from a step of the shared batch of which so many sequences decode. */
  observe(plan: readonly StepItem[], decoding: number, elapsedMs: number): void {
    // Prompts and guesses have more tokens a sequence than one, which the engine lays out otherwise.
    if (plan.length !== decoding || plan.some(({ tokens }) => tokens !== 1)) return;
    this.#pieceCost.observe(decoding, countPieces(new Set(plan.map(({ slot }) => slot))), elapsedMs);
  }

  /** Makes at most one move. What it overwrites is saved in a step before. */
  async closeGap(running: ReadonlyMap<number, Sequence>): Promise<void> {
    const { copies, nowMs } = this.#options;
    if (nowMs() < this.#pausedUntilMs) return;
    const members = this.#members(running.values());
    if (countPieces(new Set(members.map(({ slot }) => slot))) < 2) return;
    const targets = this.#targets(running.values());
    const move = planMove({ members, targets, pieceMs: this.#pieceCost.ms });
    if (move === undefined) return;
    // The streams wait for either copy: one of them a step.
    if (this.#saves && copies.unsavedTokens(move.to) > 0) return copies.saveHeld(move.to);
    const sequence = [...running.values()].find(({ slot }) => slot === move.from);
    if (sequence !== undefined) await this.#move(sequence, move.to, running);
  }

  get #saves(): boolean {
    return this.#options.store.keeps;
  }

  /** Deterministic sequences are none: they are decoded alone, wherever they are. */
  #members(running: Iterable<Sequence>): BatchMember[] {
    return [...running].flatMap((sequence) => {
      const { slot, deterministic, wait, promptTokensLeft, completionTokens, completionTokensLeft } = sequence;
      if (deterministic || sequence.stepsAfterCancel !== undefined) return [];
      // Saved and loaded.
      const ms = 2 * this.#options.copies.expectedMs(sequence.position);
      const moves = wait === undefined && promptTokensLeft === 0 && ms <= copyMsMax;
      // Of a text whose length nobody knows, half is expected to be there.
      const stepsLeft = Math.min(completionTokens, completionTokensLeft);
      return [{ slot, moveMs: moves ? ms : undefined, stepsLeft }];
    });
  }

  #targets(running: Iterable<Sequence>): MoveTarget[] {
    const { slots, copies, prefillMsPerToken } = this.#options;
    const awaited = new Set([...running].map(({ wait }) => wait && "slot" in wait.source && wait.source.slot));
    return slots.free().flatMap(({ slot }) => {
      if (awaited.has(slot)) return [];
      const tokens = copies.unsavedTokens(slot);
      if (tokens === 0) return [{ slot, takeMs: 0 }];
      // Where nothing is kept, whoever comes back for it computes it anew.
      if (!this.#saves) return [{ slot, takeMs: tokens * (prefillMsPerToken() ?? Number.POSITIVE_INFINITY) }];
      const saveMs = copies.expectedMs(tokens);
      // And whoever comes back for it has to load it.
      return saveMs <= copyMsMax ? [{ slot, takeMs: 2 * saveMs }] : [];
    });
  }

  async #move(sequence: Sequence, to: number, running: ReadonlyMap<number, Sequence>): Promise<void> {
    const { slots, store, copies, nowMs } = this.#options;
    const from = sequence.slot;
    const tokens = sequence.heldTokens();
    slots.take(to);
    slots.clear(to);
    const moved = await copies.timed(2 * tokens.length, () => store.copy(from, to, tokens));
    if (moved === undefined) {
      slots.giveBack(to, undefined);
      this.#pausedUntilMs = nowMs() + pauseMs;
      return;
    }
    sequence.moveTo(to);
    // What it held is where the sequence is now; a second one would only be saved when the slot is needed.
    slots.giveBack(from, undefined);
    for (const other of running.values()) {
      const { wait } = other;
      if (wait !== undefined && "slot" in wait.source && wait.source.slot === from)
        other.wait = { ...wait, source: { kind: "busy", slot: to } };
    }
  }
}
