// How fast slots come free: measured as the node runs, for estimates of a wait and for delays after which to try again.
import { type LineAhead, type PriorityClass, priorities } from "./waiting-line.ts";

/** The slots as they are now. */
export interface SlotState {
  /** All of them. */
  slots: number;
  /** Those that batch work may hold together. */
  batchSlots: number;
  free: number;
  /** Of the free ones, those that batch work may take. */
  batchFree: number;
}

interface ClassPace {
  /** Running mean of how long a request holds its slots; undefined before the first has ended. */
  holdMs: number | undefined;
  requests: number;
  sequences: number;
  /** Sum of the times at which the running ones started. */
  startedAtSum: number;
}

/** Weight of the newest run in the running mean of how long a slot is held. */
const holdSmoothing = 0.2;
const retryFloorMs = 1_000;
const retryCeilingMs = 60_000;

/** All times are the monotonic clock's, in milliseconds. */
export class Pace {
  readonly #classes: Record<PriorityClass, ClassPace> = { interactive: fresh(), batch: fresh() };
  /** When the last refused caller was told to come back. */
  #promisedAt = Number.NEGATIVE_INFINITY;

  started(priority: PriorityClass, sequences: number, now: number): void {
    const one = this.#classes[priority];
    one.requests += 1;
    one.sequences += sequences;
    one.startedAtSum += now;
  }

  ended(priority: PriorityClass, sequences: number, startedAt: number, now: number): void {
    const one = this.#classes[priority];
    one.requests -= 1;
    one.sequences -= sequences;
    // Anew from nothing at each idle moment, so that no rounding adds up.
    one.startedAtSum = one.requests === 0 ? 0 : one.startedAtSum - startedAt;
    const heldMs = now - startedAt;
    one.holdMs = one.holdMs === undefined ? heldMs : one.holdMs + holdSmoothing * (heldMs - one.holdMs);
  }

  /** Slots that this class holds. */
  sequences(priority: PriorityClass): number {
    return this.#classes[priority].sequences;
  }

  /**
   * Milliseconds until a request that wants `sequences` slots would start behind what is ahead of it, if nobody else
   * comes; undefined before anything is known of the pace.
   */
  waitMs(
    priority: PriorityClass,
    sequences: number,
    ahead: LineAhead,
    state: SlotState,
    now: number,
  ): number | undefined {
    const freed = this.#freedPerMs(state.slots, now);
    const holdMs = this.#holdMs(priority, now);
    if (freed === undefined || holdMs === undefined) return undefined;
    if (priority === "interactive") return over(ahead.interactive.sequences + sequences - state.free, freed);
    const interactiveMs = over(ahead.interactive.sequences, freed);
    const ofAll = over(ahead.batch.sequences + sequences - state.free, freed);
    const ofBatch = over(ahead.batch.sequences + sequences - state.batchFree, state.batchSlots / holdMs);
    return interactiveMs + Math.max(ofAll, ofBatch);
  }

  /**
   * When to come back for one of the places in a queue of which `leavers` must leave first. Of many who are refused, each
   * is told the time of a place of its own, but nobody one after the whole queue has gone.
   */
  retryForPlaceMs(leavers: number, waiting: number, slots: number, now: number): number {
    const freed = this.#freedPerMs(slots, now);
    if (freed === undefined) return retryFloorMs;
    const nextMs = Math.max(0, this.#promisedAt - now) + leavers / freed;
    const ms = Math.min(nextMs, Math.max(waiting, leavers) / freed, retryCeilingMs);
    this.#promisedAt = now + ms;
    return bounded(ms);
  }

  /** When to come back for a wait that is `excessMs` shorter. */
  retryForWaitMs(excessMs: number): number {
    return bounded(excessMs);
  }

  /** Slots that come free in a millisecond, by what holds them now; by the idle pace when nothing does. */
  #freedPerMs(slots: number, now: number): number | undefined {
    let freed = 0;
    let known = false;
    for (const name of priorities) {
      const holdMs = this.#holdMs(name, now);
      if (holdMs === undefined) continue;
      known = true;
      freed += this.#classes[name].sequences / holdMs;
    }
    if (!known) return undefined;
    const holdMs = this.#holdMs("interactive", now) ?? Number.POSITIVE_INFINITY;
    return freed > 0 ? freed : Math.max(1, slots) / holdMs;
  }

  /** How long a request of this class holds its slots: as the last ones did, and no shorter than those that run have. */
  #holdMs(priority: PriorityClass, now: number): number | undefined {
    const one = this.#classes[priority];
    const other = this.#classes[priority === "batch" ? "interactive" : "batch"];
    const runningMs = one.requests === 0 ? undefined : now - one.startedAtSum / one.requests;
    const holdMs = one.holdMs ?? (runningMs === undefined ? other.holdMs : undefined);
    if (holdMs === undefined && runningMs === undefined) return undefined;
    return Math.max(holdMs ?? 0, runningMs ?? 0, Number.MIN_VALUE);
  }
}

function fresh(): ClassPace {
  return { holdMs: undefined, requests: 0, sequences: 0, startedAtSum: 0 };
}

function over(slots: number, perMs: number): number {
  return slots <= 0 ? 0 : slots / perMs;
}

function bounded(ms: number): number {
  return Math.round(Math.min(retryCeilingMs, Math.max(retryFloorMs, ms)));
}
