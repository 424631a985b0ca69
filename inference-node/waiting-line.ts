// The order in which queued requests get a slot: interactive before batch, fair between tenants within each.
import { type Ahead, type Charge, FairLine, type FairLineOptions, type FairWaiter } from "./fair-line.ts";

/** The queue classes, first served first. */
export const priorities = ["interactive", "batch"] as const;
export type PriorityClass = (typeof priorities)[number];

/** A request in the line. */
export interface Waiter extends FairWaiter {
  readonly priority: PriorityClass;
}

/** What is ahead of a newcomer, by class. */
export type LineAhead = Readonly<Record<PriorityClass, Ahead>>;

const nobody: Ahead = { requests: 0, sequences: 0 };

/** Tells a class what a running request has used. */
export interface Meter {
  /** Tokens generated so far, all sequences together. */
  generated(total: number): void;
  /** Prompt tokens that were taken from a reused prefix and cost nothing. */
  reused(total: number): void;
  /** The work is over. Once. */
  end(): void;
}

/** A line for each class. Each has accounts of its own, so that batch work in idle hours costs nobody a turn by day. */
export class WaitingLine<W extends Waiter> {
  readonly #lines: Record<PriorityClass, FairLine<W>>;

  constructor(options?: FairLineOptions) {
    this.#lines = { interactive: new FairLine(options), batch: new FairLine(options) };
  }

  get length(): number {
    return this.#lines.interactive.length + this.#lines.batch.length;
  }

  lengthOf(priority: PriorityClass): number {
    return this.#lines[priority].length;
  }

  /** An estimate of what is served before a newcomer, if nobody else comes. */
  ahead(priority: PriorityClass, tenant: string): LineAhead {
    const { interactive, batch } = this.#lines;
    if (priority === "interactive") return { interactive: interactive.ahead(tenant), batch: nobody };
    const whole = { requests: interactive.length, sequences: interactive.sequences };
    return { interactive: whole, batch: batch.ahead(tenant) };
  }

  push(waiter: W): void {
    this.#lines[waiter.priority].push(waiter);
  }

  /** Whose turn it is; undefined when nobody waits. */
  next(): W | undefined {
    return this.#lines.interactive.next() ?? this.#lines.batch.next();
  }

  /** Takes `next()` out of the line to run, and begins to count what it uses. */
  start(waiter: W): Meter {
    const line = this.#lines[waiter.priority];
    const charge: Charge = line.start(waiter);
    return {
      generated: (total) => line.generated(charge, total),
      reused: (total) => line.reused(charge, total),
      end: () => line.end(charge),
    };
  }

  /** Takes one out, wherever it stands; false when it is not in the line. */
  delete(waiter: W): boolean {
    return this.#lines[waiter.priority].delete(waiter);
  }
}
