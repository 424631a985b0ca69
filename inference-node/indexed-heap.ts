// A binary heap whose members know their place, so that one whose key changed moves without a search.

/** What a member carries for the heap. */
export interface HeapMember {
  /** Its place; -1 outside the heap. Written by the heap alone. */
  heapIndex: number;
}

/** The least member first. `less` must be a strict order. All changes cost O(log n). */
export class IndexedHeap<T extends HeapMember> {
  readonly #less: (a: T, b: T) => boolean;
  readonly #members: T[] = [];

  constructor(less: (a: T, b: T) => boolean) {
    this.#less = less;
  }

  get size(): number {
    return this.#members.length;
  }

  get least(): T | undefined {
    return this.#members[0];
  }

  /** All members, in no order that means anything. */
  get members(): readonly T[] {
    return this.#members;
  }

  add(member: T): void {
    member.heapIndex = this.#members.length;
    this.#members.push(member);
    this.#rise(member);
  }

  /** Puts a member into its place after its key changed; does nothing to one outside the heap. */
  moved(member: T): void {
    if (member.heapIndex < 0) return;
    this.#rise(member);
    this.#sink(member);
  }

  remove(member: T): void {
    const { heapIndex } = member;
    if (heapIndex < 0) return;
    const last = this.#members.pop();
    member.heapIndex = -1;
    if (last === undefined || last === member) return;
    this.#put(last, heapIndex);
    this.moved(last);
  }

  #rise(member: T): void {
    for (let index = member.heapIndex; index > 0; ) {
      const above = (index - 1) >> 1;
      const parent = this.#members[above];
      if (parent === undefined || !this.#less(member, parent)) return;
      this.#put(parent, index);
      this.#put(member, above);
      index = above;
    }
  }

  #sink(member: T): void {
    for (let index = member.heapIndex; ; ) {
      const child = this.#lesserChild(index);
      if (child === undefined || !this.#less(child, member)) return;
      const below = child.heapIndex;
      this.#put(child, index);
      this.#put(member, below);
      index = below;
    }
  }

  #lesserChild(index: number): T | undefined {
    const left = this.#members[2 * index + 1];
    const right = this.#members[2 * index + 2];
    if (left === undefined || right === undefined) return left;
    return this.#less(right, left) ? right : left;
  }

  #put(member: T, index: number): void {
    this.#members[index] = member;
    member.heapIndex = index;
  }
}
