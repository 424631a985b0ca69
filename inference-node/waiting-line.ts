// The order in which queued requests get a slot: interactive before batch, first come first served within each.

/** The queue classes, first served first. */
const priorities = ["interactive", "batch"] as const;
export type PriorityClass = (typeof priorities)[number];

/** A request in the line. */
export interface Waiter {
  readonly priority: PriorityClass;
  /** Who pays. The order does not heed it yet. */
  readonly tenant: string;
  /** Prompt tokens. */
  readonly tokens: number;
}

/** A line of waiters; every operation is constant time but `ahead`, which is constant in the number of classes. */
export class WaitingLine<W extends Waiter> {
  // A Set keeps insertion order and forgets an aborted waiter at once, wherever it stands.
  readonly #classes: Record<PriorityClass, Set<W>> = { interactive: new Set(), batch: new Set() };
  #tokens = 0;

  get length(): number {
    return this.#classes.interactive.size + this.#classes.batch.size;
  }

  /** Prompt tokens of all waiters. */
  get tokens(): number {
    return this.#tokens;
  }

  /** How many would be served before a newcomer of this class. */
  ahead(priority: PriorityClass): number {
    let count = 0;
    for (const name of priorities) {
      count += this.#classes[name].size;
      if (name === priority) break;
    }
    return count;
  }

  push(waiter: W): void {
    this.#classes[waiter.priority].add(waiter);
    this.#tokens += waiter.tokens;
  }

  /** Takes the next out of the line; undefined when nobody waits. */
  shift(): W | undefined {
    for (const name of priorities) {
      for (const waiter of this.#classes[name]) {
        this.delete(waiter);
        return waiter;
      }
    }
    return undefined;
  }

  /** Takes one out, wherever it stands; false when it is not in the line. */
  delete(waiter: W): boolean {
    if (!this.#classes[waiter.priority].delete(waiter)) return false;
    this.#tokens -= waiter.tokens;
    return true;
  }
}
