// Decides which requests of one model run, wait or are refused: slots, a bounded queue and deadlines.
import type { Clock } from "./clock.ts";
import { Code, NodeError } from "./node-error.ts";
import { Pace, type SlotState } from "./pace.ts";
import { QueueBounds, type Requester } from "./queue-bounds.ts";
import { type Meter, type PriorityClass, type Waiter, WaitingLine } from "./waiting-line.ts";

export interface AdmissionOptions {
  /** Sequences that can run at once, asked anew each time. */
  slots: () => number;
  /** False while the engine is down: nothing starts, those that wait go on waiting. */
  isReady: () => boolean;
  /** Most requests that wait for a slot; a quarter more when tenants that hold less than an equal share ask. */
  queueDepthMax: number;
  /** Most prompt tokens that wait for a slot, and a quarter more likewise; one alone in the queue is always let in. */
  queueTokensMax: number;
  /** Part of the slots that batch work may hold together, 1 to 100, but at least one slot; and of the queue. */
  batchSlotsPercent: number;
  /** Called for each refusal with its reason, such as QUEUE_FULL. */
  onRejection?: (reason: string) => void;
  clock: Clock;
}

export interface AdmissionRequest {
  /** Prompt tokens. */
  tokens: number;
  /** Slots that it takes, all at once; 1 when undefined. */
  sequences?: number;
  /** An abort takes the request out of the queue at once; its `granted` then rejects with the signal's reason. */
  signal: AbortSignal;
  /** When the caller gives up, on the clock's monotonic scale. */
  deadlineAt: number | undefined;
}

/** Leave to run. Release it exactly when the work is over, also when it never started; more releases do nothing. */
export interface Permit {
  /** Requests ahead at the time of admission, as an estimate: 0 when it runs at once, 1 when it is the next to run. */
  readonly position: number;
  /** Resolves when its slots are held. Rejects when the request was aborted or the engine did not come back. */
  readonly granted: Promise<void>;
  /** Tells how many tokens were generated so far, all sequences together. Long answers count while they run. */
  served(generatedTokens: number): void;
  /** Tells how many tokens of the prompt were reused: they cost the tenant nothing. */
  reused(promptTokens: number): void;
  release(): void;
}

/** A place kept while the prompt is tokenised, so that tokenising itself is bounded by the queue's depth. */
export interface Reservation {
  /**
   * Turns the place into a permit. Throws RESOURCE_EXHAUSTED when the queue is full or too slow for the deadline,
   * INVALID_ARGUMENT when the model has fewer slots than are asked for.
   */
  admit(request: AdmissionRequest): Permit;
  /** Gives the place up; nothing happens after `admit`. */
  leave(): void;
}

interface Entry extends Waiter {
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
  readonly granted: PromiseWithResolvers<void>;
  /** Set from the grant on. */
  running: { meter: Meter; startedAt: number } | undefined;
  over: boolean;
}

/** Whom work is for that no tenant asked for. */
const nobody: Requester = { tenant: "", priority: "interactive" };

/** One model's admission. All methods are synchronous: what is decided is decided at once. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #line = new WaitingLine<Entry>();
  readonly #bounds: QueueBounds;
  readonly #pace = new Pace();
  #running = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#bounds = new QueueBounds({
      depthMax: options.queueDepthMax,
      tokensMax: options.queueTokensMax,
      batchShare: options.batchSlotsPercent / 100,
    });
  }

  /** Requests that hold slots. */
  get running(): number {
    return this.#running;
  }

  /** Slots that are held. */
  get slotsHeld(): number {
    return this.#pace.sequences("interactive") + this.#pace.sequences("batch");
  }

  /** Requests that wait for slots. */
  get waiting(): number {
    return this.#line.length;
  }

  /** Requests of one class that wait. */
  waitingOf(priority: PriorityClass): number {
    return this.#line.lengthOf(priority);
  }

  /** Keeps a place. Throws RESOURCE_EXHAUSTED with a retry delay when slots and queue are full. */
  reserve(who: Requester = nobody): Reservation {
    if (!this.#bounds.takePlace(who, this.#free())) throw this.#full();
    let kept = true;
    return {
      leave: () => {
        if (kept) this.#bounds.give(who, 0);
        kept = false;
      },
      admit: (request) => {
        if (!kept) throw new Error("A place in the queue was used twice.");
        this.#check(who, request);
        kept = false; // From here on it is the entry's.
        return this.#enqueue(who, request);
      },
    };
  }

  /** Starts whoever may start now; call it after `slots` or `isReady` changed. */
  pump(): void {
    while (this.#options.isReady()) {
      const entry = this.#line.next();
      if (entry === undefined) return;
      // An earlier listener of the same signal may have freed the slot before this entry's own has heard of the abort.
      if (entry.signal.aborted) this.#drop(entry, entry.signal.reason);
      else if (entry.sequences > this.#options.slots()) this.#drop(entry, tooMany(this.#options.slots()));
      else if (this.#fits(entry)) this.#grant(entry);
      else return;
    }
  }

  /** Fails all that wait, with the given error. */
  failWaiting(error: NodeError): void {
    for (let entry = this.#line.next(); entry !== undefined; entry = this.#line.next()) this.#drop(entry, error);
  }

  /** Milliseconds until such a newcomer would start; undefined before anything is known of the pace. */
  estimateWaitMs({ priority, tenant }: Requester = nobody, sequences = 1): number | undefined {
    if (this.#startsNow(priority, sequences)) return 0;
    const ahead = this.#line.ahead(priority, tenant);
    return this.#pace.waitMs(priority, sequences, ahead, this.#slotState(), this.#now());
  }

  #check(who: Requester, { tokens, sequences = 1, signal, deadlineAt }: AdmissionRequest): void {
    signal.throwIfAborted();
    if (sequences > this.#options.slots()) throw tooMany(this.#options.slots());
    if (this.#startsNow(who.priority, sequences)) return;
    // While the engine is down there is nobody before those that wait for its free slots.
    const waiting = this.#line.length + 1 - (this.#options.isReady() ? 0 : this.#free());
    if (!this.#bounds.hasDepth(who, waiting)) throw this.#full();
    this.#requireTokenRoom(who, tokens);
    const waitMs = deadlineAt === undefined ? undefined : this.estimateWaitMs(who, sequences);
    if (deadlineAt === undefined || waitMs === undefined) return;
    const excessMs = waitMs - (deadlineAt - this.#now());
    if (excessMs <= 0) return;
    const message = "The queue is longer than the request's deadline.";
    throw this.#refusal(message, "QUEUE_TOO_SLOW", this.#pace.retryForWaitMs(excessMs));
  }

  /** One alone in the queue is let in whatever its length: the context bounds it. */
  #requireTokenRoom(who: Requester, tokens: number): void {
    const waiting = this.#line.length;
    const excess = waiting === 0 ? 0 : this.#bounds.tokensOver(who, tokens);
    if (excess === 0) return;
    const meanTokens = Math.max(1, this.#bounds.tokens / waiting);
    throw this.#full("The queue holds too many prompt tokens.", Math.ceil(excess / meanTokens));
  }

  #enqueue({ tenant, priority }: Requester, { tokens, sequences = 1, signal }: AdmissionRequest): Permit {
    const granted = Promise.withResolvers<void>();
    granted.promise.catch(() => undefined); // A permit may be released without anyone awaiting it.
    const ahead = this.#line.ahead(priority, tenant);
    const position = Math.round(ahead.interactive.requests + ahead.batch.requests) + 1;
    const onAbort = (): void => {
      this.#drop(entry, signal.reason);
      this.pump(); // It may have been what the others waited for.
    };
    const fixed = { tenant, priority, tokens, sequences, signal, onAbort, granted };
    const entry: Entry = { ...fixed, running: undefined, over: false };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#bounds.addTokens(entry, tokens);
    this.#line.push(entry);
    this.pump();
    const meter = (): Meter | undefined => (entry.over ? undefined : entry.running?.meter);
    return {
      position: entry.running === undefined ? position : 0,
      granted: granted.promise,
      served: (generatedTokens) => meter()?.generated(generatedTokens),
      reused: (promptTokens) => meter()?.reused(promptTokens),
      release: () => this.#release(entry),
    };
  }

  #grant(entry: Entry): void {
    const startedAt = this.#now();
    entry.running = { meter: this.#line.start(entry), startedAt };
    this.#running += 1;
    this.#pace.started(entry.priority, entry.sequences, startedAt);
    this.#leaveQueue(entry);
    entry.granted.resolve();
  }

  /** Takes one that waits out of the line and fails it. */
  #drop(entry: Entry, reason: unknown): void {
    if (!this.#line.delete(entry)) return;
    entry.over = true;
    this.#leaveQueue(entry);
    entry.granted.reject(reason);
  }

  #release(entry: Entry): void {
    if (entry.over) return;
    entry.over = true;
    if (entry.running === undefined) {
      this.#line.delete(entry);
      this.#leaveQueue(entry);
    } else {
      entry.running.meter.end();
      this.#running -= 1;
      this.#pace.ended(entry.priority, entry.sequences, entry.running.startedAt, this.#now());
    }
    this.pump();
  }

  #leaveQueue(entry: Entry): void {
    entry.signal.removeEventListener("abort", entry.onAbort);
    this.#bounds.give(entry, entry.tokens);
  }

  /** Whether it would run at once: nobody is before it and there is room. */
  #startsNow(priority: PriorityClass, sequences: number): boolean {
    if (!this.#options.isReady() || !this.#fits({ priority, sequences })) return false;
    return priority === "interactive" ? this.#line.lengthOf("interactive") === 0 : this.#line.length === 0;
  }

  /** A batch request that wants more slots than batch work may hold runs when no other batch work does. */
  #fits({ priority, sequences }: Pick<Waiter, "priority" | "sequences">): boolean {
    if (sequences > this.#free()) return false;
    return priority === "interactive" || sequences <= this.#batchFree() || this.#pace.sequences("batch") === 0;
  }

  #free(): number {
    return Math.max(0, this.#options.slots() - this.slotsHeld);
  }

  #batchSlots(): number {
    return Math.max(1, Math.floor((this.#options.slots() * this.#options.batchSlotsPercent) / 100));
  }

  #batchFree(): number {
    return Math.min(this.#free(), Math.max(0, this.#batchSlots() - this.#pace.sequences("batch")));
  }

  #slotState(): SlotState {
    const slots = this.#options.slots();
    return { slots, batchSlots: this.#batchSlots(), free: this.#free(), batchFree: this.#batchFree() };
  }

  #full(message = "The queue is full.", leavers = 1): NodeError {
    const retryAfterMs = this.#pace.retryForPlaceMs(leavers, this.#line.length, this.#options.slots(), this.#now());
    return this.#refusal(message, "QUEUE_FULL", retryAfterMs);
  }

  #refusal(message: string, reason: string, retryAfterMs: number): NodeError {
    this.#options.onRejection?.(reason);
    return new NodeError(Code.RESOURCE_EXHAUSTED, message, { reason, retryAfterMs });
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}

function tooMany(slots: number): NodeError {
  const message = `choice_count and best_of must be at most ${slots}: the model runs so many sequences at once.`;
  const metadata = { sequences_max: String(slots) };
  return new NodeError(Code.INVALID_ARGUMENT, message, {
    param: "choice_count",
    reason: "TOO_MANY_SEQUENCES",
    metadata,
  });
}
