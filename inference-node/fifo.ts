// A first-in-first-out queue from whose middle anything can be taken in constant time.

interface Link<T> {
  readonly value: T;
  before: Link<T> | undefined;
  after: Link<T> | undefined;
}

/**
 * A linked list and an index into it. A Set keeps the same order, but finding its first member walks over the places of
 * all that were taken before, which makes emptying a long one quadratic.
 */
export class Fifo<T> {
  readonly #links = new Map<T, Link<T>>();
  #first: Link<T> | undefined;
  #last: Link<T> | undefined;

  get size(): number {
    return this.#links.size;
  }

  get first(): T | undefined {
    return this.#first?.value;
  }

  /** Adds a value that is not in the queue. */
  push(value: T): void {
    const link: Link<T> = { value, before: this.#last, after: undefined };
    this.#links.set(value, link);
    if (this.#last) this.#last.after = link;
    else this.#first = link;
    this.#last = link;
  }

  /** False when it is not in the queue. */
  delete(value: T): boolean {
    const link = this.#links.get(value);
    if (link === undefined) return false;
    this.#links.delete(value);
    if (link.before) link.before.after = link.after;
    else this.#first = link.after;
    if (link.after) link.after.before = link.before;
    else this.#last = link.before;
    return true;
  }
}
