// Text that arrives in pieces, read by coroutines that pause where it ends for now.

/** A coroutine that reads: it yields to wait for more text and returns what it read. */
export type Read<T> = Generator<undefined, T, undefined>;

/** What comes next: text before any marker, a marker, or undefined at the end of all text. */
export type Next = { readonly text: string } | { readonly marker: string } | undefined;

/** The unread text. What was read since `mark` is kept, so that a reading that fails can be undone. */
export class TextReader {
  #text = "";
  #at = 0;
  #mark: number | undefined;
  #ended = false;

  add(text: string): void {
    const from = this.#mark ?? this.#at;
    this.#text = this.#text.slice(from) + text;
    this.#at -= from;
    if (this.#mark !== undefined) this.#mark = 0;
  }

  end(): void {
    this.#ended = true;
  }

  /** Remembers this place until `release` or `rewind`. */
  mark(): void {
    this.#mark = this.#at;
  }

  release(): void {
    this.#mark = undefined;
  }

  /** Goes back to the marked place. */
  rewind(): void {
    this.#at = this.#mark ?? this.#at;
    this.#mark = undefined;
  }

  /**
   * What comes next, without taking it. No marker may begin with another, but it may hold one. Text that may yet become a marker is held
   * back until it is decided.
   */
  *next(markers: readonly string[]): Read<Next> {
    for (;;) {
      const found = this.#find(markers);
      if (found !== undefined) return found;
      if (this.#ended) return this.#at < this.#text.length ? { text: this.#text.slice(this.#at) } : undefined;
      yield;
    }
  }

  /** Takes so many characters of what `next` gave. */
  advance(length: number): void {
    this.#at += length;
  }

  /** The next character, without taking it; undefined at the end. */
  *peek(): Read<string | undefined> {
    while (this.#at >= this.#text.length) {
      if (this.#ended) return undefined;
      yield;
    }
    return this.#text[this.#at];
  }

  /** Takes `literal` if it comes next. */
  *skip(literal: string): Read<boolean> {
    for (;;) {
      const there = this.#text.slice(this.#at, this.#at + literal.length);
      if (there === literal) {
        this.#at += literal.length;
        return true;
      }
      if (this.#ended || !literal.startsWith(there)) return false;
      yield;
    }
  }

  /** Takes white space. */
  *skipSpace(): Read<void> {
    for (;;) {
      const char = yield* this.peek();
      if (char === undefined || char.trim() !== "") return;
      this.#at += 1;
    }
  }

  /** Takes everything before a marker, and the marker. Gives the marker, or undefined when the text ended without. */
  *until(markers: readonly string[], sink: (text: string) => void): Read<string | undefined> {
    for (;;) {
      const next = yield* this.next(markers);
      if (next === undefined) return undefined;
      if ("marker" in next) {
        this.#at += next.marker.length;
        return next.marker;
      }
      this.#at += next.text.length;
      sink(next.text);
    }
  }

  #find(markers: readonly string[]): Next {
    let first = this.#text.length;
    let marker: string | undefined;
    for (const candidate of markers) {
      const index = this.#text.indexOf(candidate, this.#at);
      if (index < 0 || index >= first) continue;
      first = index;
      marker = candidate;
    }
    // One that may yet begin before it comes first: a control token may be the middle of a longer marker.
    const undecided = this.#ended ? this.#text.length : this.#text.length - this.#heldBack(markers);
    if (marker !== undefined && first === this.#at && first < undecided) return { marker };
    first = Math.min(first, undecided);
    return first > this.#at ? { text: this.#text.slice(this.#at, first) } : undefined;
  }

  /** Length of the longest end of the text that begins a marker. */
  #heldBack(markers: readonly string[]): number {
    let held = 0;
    for (const marker of markers) {
      const longest = Math.min(marker.length - 1, this.#text.length - this.#at);
      for (let length = longest; length > held; length--) {
        if (this.#text.endsWith(marker.slice(0, length))) held = length;
      }
    }
    return held;
  }
}
