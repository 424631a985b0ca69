// Decides which requests of one model run, wait or are refused: slots, a bounded queue and deadlines.
import type { Clock } from "./clock.ts";
import { Code, NodeError } from "./node-error.ts";
import { type PriorityClass, type Waiter, WaitingLine } from "./waiting-line.ts";

export interface AdmissionOptions {
  /** Sequences that can run at once, asked anew each time. */
  slots: () => number;
  /** False while the engine is down: nothing starts, those that wait go on waiting. */
  isReady: () => boolean;
  /** Most requests that wait for a slot. */
  queueDepthMax: number;
  /** Most prompt tokens that wait for a slot; a request in an empty queue is always let in. */
  queueTokensMax: number;
  clock: Clock;
}

export interface AdmissionRequest {
  priority: PriorityClass;
  tenant: string;
  /** Prompt tokens. */
  tokens: number;
  /** An abort takes the request out of the queue at once; its `granted` then rejects with the signal's reason. */
  signal: AbortSignal;
  /** When the caller gives up, on the clock's monotonic scale. */
  deadlineAt: number | undefined;
}

/** Leave to run. Release it exactly when the work is over, also when it never started; more releases do nothing. */
export interface Permit {
  /** Requests ahead at the time of admission; 0 when it runs at once. */
  readonly position: number;
  /** Resolves when a slot is held. Rejects when the request was aborted or the engine did not come back. */
  readonly granted: Promise<void>;
  release(): void;
}

/** A place kept while the prompt is tokenised, so that tokenising itself is bounded by the queue's depth. */
export interface Reservation {
  /** Turns the place into a permit. Throws RESOURCE_EXHAUSTED when the queue is full or too slow for the deadline. */
  admit(request: AdmissionRequest): Permit;
  /** Gives the place up; nothing happens after `admit`. */
  leave(): void;
}

interface Entry extends Waiter {
  grant(): void;
  fail(reason: unknown): void;
}

const retryFloorMs = 1_000;
const retryCeilingMs = 60_000;
/** Weight of the newest run in the running mean of how long a slot is held. */
const holdSmoothing = 0.2;

/** One model's admission. All methods are synchronous: what is decided is decided at once. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #line = new WaitingLine<Entry>();
  #running = 0;
  #reserved = 0;
  #holdMs: number | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Requests that hold a slot. */
  get running(): number {
    return this.#running;
  }

  /** Requests that wait for one. */
  get waiting(): number {
    return this.#line.length;
  }

  /** Keeps a place. Throws RESOURCE_EXHAUSTED with a retry delay when slots and queue are full. */
  reserve(): Reservation {
    const free = Math.max(0, this.#options.slots() - this.#running);
    if (this.#line.length + this.#reserved >= free + this.#options.queueDepthMax) {
      throw this.#refusal("The queue is full.", "QUEUE_FULL");
    }
    this.#reserved += 1;
    let kept = true;
    const leave = (): void => {
      if (kept) this.#reserved -= 1;
      kept = false;
    };
    return {
      leave,
      admit: (request) => {
        leave();
        return this.#admit(request);
      },
    };
  }

  /** Starts whoever may start now; call it after `slots` or `isReady` changed. */
  pump(): void {
    while (this.#options.isReady() && this.#running < this.#options.slots()) {
      const entry = this.#line.shift();
      if (entry === undefined) return;
      entry.grant();
    }
  }

  /** Fails all that wait, with the given error. */
  failWaiting(error: NodeError): void {
    for (let entry = this.#line.shift(); entry !== undefined; entry = this.#line.shift()) entry.fail(error);
  }

  /** Milliseconds until a newcomer of this class would start; undefined before anything is known of the pace. */
  estimateWaitMs(priority: PriorityClass): number | undefined {
    if (this.#running < this.#options.slots() && this.#line.length === 0) return 0;
    if (this.#holdMs === undefined) return undefined;
    return ((this.#line.ahead(priority) + 1) * this.#holdMs) / Math.max(1, this.#options.slots());
  }

  #admit(request: AdmissionRequest): Permit {
    request.signal.throwIfAborted();
    const { queueTokensMax, clock } = this.#options;
    if (this.#line.length > 0 && this.#line.tokens + request.tokens > queueTokensMax) {
      throw this.#refusal("The queue holds too many prompt tokens.", "QUEUE_FULL");
    }
    const waitMs = this.estimateWaitMs(request.priority);
    if (request.deadlineAt !== undefined && waitMs !== undefined && waitMs > request.deadlineAt - clock.monotonic()) {
      throw this.#refusal("The queue is longer than the request's deadline.", "QUEUE_TOO_SLOW");
    }
    return this.#enqueue(request);
  }

  #enqueue({ priority, tenant, tokens, signal }: AdmissionRequest): Permit {
    const granted = Promise.withResolvers<void>();
    granted.promise.catch(() => undefined); // A permit may be released without anyone awaiting it.
    const position = this.#line.ahead(priority) + (this.#canStart() ? 0 : 1);
    let startedAt: number | undefined;
    let over = false;
    const onAbort = (): void => {
      if (this.#line.delete(entry)) entry.fail(signal.reason);
    };
    const entry: Entry = {
      priority,
      tenant,
      tokens,
      grant: () => {
        startedAt = this.#options.clock.monotonic();
        this.#running += 1;
        signal.removeEventListener("abort", onAbort);
        granted.resolve();
      },
      fail: (reason) => {
        over = true;
        signal.removeEventListener("abort", onAbort);
        granted.reject(reason);
      },
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#line.push(entry);
    this.pump();
    const release = (): void => {
      if (over) return;
      over = true;
      signal.removeEventListener("abort", onAbort);
      if (startedAt === undefined) this.#line.delete(entry);
      else this.#free(this.#options.clock.monotonic() - startedAt);
    };
    return { position: startedAt === undefined ? position : 0, granted: granted.promise, release };
  }

  #canStart(): boolean {
    return this.#options.isReady() && this.#running < this.#options.slots();
  }

  #free(heldMs: number): void {
    this.#running -= 1;
    this.#holdMs = this.#holdMs === undefined ? heldMs : this.#holdMs + holdSmoothing * (heldMs - this.#holdMs);
    this.pump();
  }

  #refusal(message: string, reason: string): NodeError {
    // One slot is given back every holdMs / slots on the average: that is when a place in the queue becomes free.
    const nextPlaceMs = (this.#holdMs ?? 0) / Math.max(1, this.#options.slots());
    const retryAfterMs = Math.round(Math.min(retryCeilingMs, Math.max(retryFloorMs, nextPlaceMs)));
    return new NodeError(Code.RESOURCE_EXHAUSTED, message, { reason, retryAfterMs });
  }
}
