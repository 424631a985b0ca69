// A regular expression as a nondeterministic automaton.
import type { EdgeKind, Nondeterministic, Work } from "./automaton.ts";
import type { CharSet } from "./char-set.ts";
import { refused } from "./constraint-error.ts";
import type { Regex } from "./regex-syntax.ts";

const statesMax = 40_000;

/** Thompson's construction, with edges that are open only where an anchor matches. */
export class RegexNfa implements Nondeterministic {
  readonly silent: { to: number; kind: EdgeKind }[][] = [];
  readonly read: { set: CharSet; to: number }[][] = [];
  readonly #work: Work;
  start = 0;
  end = 0;

  constructor(work: Work) {
    this.#work = work;
  }

  build(regex: Regex): this {
    [this.start, this.end] = this.#part(regex);
    return this;
  }

  #state(): number {
    if (this.silent.length >= statesMax) {
      throw refused(this.#work.path, `is too large: its repetitions come to more than ${statesMax} steps.`);
    }
    this.silent.push([]);
    this.read.push([]);
    return this.silent.length - 1;
  }

  #link(from: number, to: number, kind: EdgeKind = "always"): void {
    this.silent[from]?.push({ to, kind });
  }

  #part(regex: Regex): [start: number, end: number] {
    const start = this.#state();
    switch (regex.type) {
      case "sequence": {
        let end = start;
        for (const part of regex.parts) end = this.#append(end, part);
        return [start, end];
      }
      case "repeat":
        return [start, this.#repeat(start, regex)];
      case "choice": {
        const end = this.#state();
        for (const option of regex.options) {
          const [first, last] = this.#part(option);
          this.#link(start, first);
          this.#link(last, end);
        }
        return [start, end];
      }
      case "chars": {
        const end = this.#state();
        this.read[start]?.push({ set: regex.set, to: end });
        return [start, end];
      }
      default: {
        const end = this.#state();
        this.#link(start, end, regex.type === "start" ? "at start" : "at end");
        return [start, end];
      }
    }
  }

  #append(end: number, part: Regex): number {
    const [first, last] = this.#part(part);
    this.#link(end, first);
    return last;
  }

  #repeat(start: number, { part, min, max }: Extract<Regex, { type: "repeat" }>): number {
    let end = start;
    for (let i = 0; i < min; i++) end = this.#append(end, part);
    if (max === undefined) {
      const loop = this.#state();
      this.#link(end, loop);
      const [first, last] = this.#part(part);
      this.#link(loop, first);
      this.#link(last, loop);
      return loop;
    }
    const last = this.#state();
    for (let i = min; i < max; i++) {
      this.#link(end, last);
      end = this.#append(end, part);
    }
    this.#link(end, last);
    return last;
  }
}
