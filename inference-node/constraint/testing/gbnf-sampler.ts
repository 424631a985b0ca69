// Draws random texts of a grammar, as a model that knows nothing would, but one that comes to an end.
import type { CharSet } from "../char-set.ts";
import { parseGbnf } from "../gbnf-parser.ts";
import type { GbnfGrammar, GbnfItem, GbnfSequence } from "../gbnf-syntax.ts";

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Draws texts of one grammar. Beyond `charsMax` characters it takes the shortest way to the end. */
export class GbnfSampler {
  readonly #rules: GbnfGrammar["rules"];
  readonly #random: () => number;
  readonly #shortest: ReadonlyMap<string, number>;
  readonly #charsMax: number;
  #text = "";

  constructor(gbnf: string, random: () => number, charsMax = 80) {
    this.#rules = parseGbnf(gbnf, "grammar").rules;
    this.#random = random;
    this.#charsMax = charsMax;
    this.#shortest = shortestTexts(this.#rules);
  }

  draw(): string {
    this.#text = "";
    this.#options(this.#rules.get("root") ?? []);
    return this.#text;
  }

  #options(options: readonly GbnfSequence[]): void {
    const lengths = options.map((option) => sequenceLength(option, this.#shortest));
    const shortest = Math.min(...lengths);
    const open = options.filter((_, i) => {
      const length = lengths[i] as number;
      return this.#text.length < this.#charsMax ? Number.isFinite(length) : length === shortest;
    });
    for (const item of open[this.#below(open.length)] ?? []) this.#item(item);
  }

  #item(item: GbnfItem): void {
    switch (item.type) {
      case "text":
        this.#text += item.text;
        break;
      case "class":
        this.#text += this.#char(item.set);
        break;
      case "rule":
        this.#options(this.#rules.get(item.name) ?? []);
        break;
      case "group":
        this.#options(item.options);
        break;
      case "repeat": {
        for (let i = 0; i < item.min; i++) this.#item(item.item);
        for (let i = item.min; i < (item.max ?? 1e6); i++) {
          if (this.#text.length >= this.#charsMax || this.#random() < 0.3) break;
          this.#item(item.item);
        }
      }
    }
  }

  #char(set: CharSet): string {
    // Every range has its turn: rare characters are where mistakes are.
    const [first, last] = set[this.#below(set.length)] as CharSet[number];
    return String.fromCodePoint(first + this.#below(last - first + 1));
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }
}

function shortestTexts(rules: GbnfGrammar["rules"]): Map<string, number> {
  const known = new Map<string, number>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const [name, options] of rules) {
      const length = Math.min(...options.map((option) => sequenceLength(option, known)));
      if (length >= (known.get(name) ?? Number.POSITIVE_INFINITY)) continue;
      known.set(name, length);
      changed = true;
    }
  }
  return known;
}

function sequenceLength(items: GbnfSequence, known: ReadonlyMap<string, number>): number {
  return items.reduce((sum, item) => sum + itemLength(item, known), 0);
}

function itemLength(item: GbnfItem, known: ReadonlyMap<string, number>): number {
  switch (item.type) {
    case "text":
      return item.text.length;
    case "class":
      return item.set.length === 0 ? Number.POSITIVE_INFINITY : 1;
    case "rule":
      return known.get(item.name) ?? Number.POSITIVE_INFINITY;
    case "group":
      return Math.min(...item.options.map((option) => sequenceLength(option, known)));
    case "repeat":
      return item.min === 0 ? 0 : item.min * itemLength(item.item, known);
  }
}
