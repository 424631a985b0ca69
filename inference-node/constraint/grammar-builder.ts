// Writes a GBNF grammar rule by rule: names, escapes, repetitions, and a bound on all of it.
import { refused } from "./constraint-error.ts";

/** What a grammar may cost the engine. It copies every repetition out, so that these are counted as written out. */
export interface GrammarLimits {
  readonly rules: number;
  readonly chars: number;
  /** Rules that the engine makes of `{m,n}`, `*`, `+`, `?` and groups besides those that are written. */
  readonly expandedRules: number;
}

const defaultGrammarLimits: GrammarLimits = { rules: 20_000, chars: 1_000_000, expandedRules: 40_000 };

/** The engine refuses `{m,n}` from 2,000 on; a longer repetition is built of blocks. */
const repeatMax = 1_000;

/** The most that a repetition may count to: blocks of blocks are not made. */
export const countMax = repeatMax * repeatMax;

/**
 * A grammar that grows. Bodies are GBNF: rule names, `literal`s and `charClass`es with spaces between them, `|` between
 * alternatives. Throws INVALID_ARGUMENT with the builder's path when the grammar outgrows its limits.
 */
export class GrammarBuilder {
  readonly #path: string;
  readonly #limits: GrammarLimits;
  readonly #bodies = new Map<string, string>();
  readonly #nameOfBody = new Map<string, string>();
  #chars = 0;
  #expandedRules = 0;

  /** `path` is the request's field that the grammar is made of, for the error when it grows too large. */
  constructor(path: string, limits: GrammarLimits = defaultGrammarLimits) {
    this.#path = path;
    this.#limits = limits;
  }

  /** Adds a rule and gives its name, made of `hint`. The same body gives the same rule. */
  rule(hint: string, body: string): string {
    const known = this.#nameOfBody.get(body);
    if (known !== undefined) return known;
    const name = this.reserve(hint);
    this.define(name, body);
    this.#nameOfBody.set(body, name);
    return name;
  }

  /** Takes a name for a rule that refers to itself; `define` must follow. */
  reserve(hint: string): string {
    const base = hint.replace(/[^a-zA-Z]+/g, "-").replace(/^-+|-+$/g, "") || "r";
    const name = `${base.slice(0, 24)}-${this.#bodies.size}`;
    if (this.#bodies.size >= this.#limits.rules) this.#tooLarge(`${this.#limits.rules} rules`);
    this.#bodies.set(name, "");
    return name;
  }

  /** Gives a reserved rule its body. */
  define(name: string, body: string): void {
    this.#chars += name.length + body.length + 6;
    if (this.#chars > this.#limits.chars) this.#tooLarge(`${this.#limits.chars} characters`);
    this.#bodies.set(name, body);
  }

  /** A body that says `item`, a rule's name, at least `min` and at most `max` times; `max` undefined is without end. */
  repeat(hint: string, item: string, min: number, max: number | undefined): string {
    const head = min > 0 ? this.#exactly(hint, item, min) : "";
    if (max === undefined) return `${head} ${item}*`.trim();
    if (max < min || max > countMax) throw new RangeError(`can't repeat ${min} to ${max} times`);
    const tail = max > min ? this.#upTo(hint, item, max - min) : "";
    return `${head} ${tail}`.trim() || '""';
  }

  /** The whole grammar; `root` is the body of its root rule. */
  grammar(root: string): string {
    const lines = [`root ::= ${root}`];
    for (const [name, body] of this.#bodies) lines.push(`${name} ::= ${body}`);
    return `${lines.join("\n")}\n`;
  }

  #exactly(hint: string, item: string, count: number): string {
    if (count === 1) return item;
    if (count <= repeatMax) return this.#expanded(item, count, count);
    const size = Math.ceil(Math.sqrt(count));
    const block = this.rule(`${hint}-block`, this.#expanded(item, size, size));
    const rest = count % size;
    const blocks = this.#expanded(block, Math.floor(count / size), Math.floor(count / size));
    return rest === 0 ? blocks : `${blocks} ${this.#exactly(hint, item, rest)}`;
  }

  /**
   * At most `count`: within a long one, each block is either whole and goes on, or cut and the last. Two readings are
   * alive at any time, however long it is.
   */
  #upTo(hint: string, item: string, count: number): string {
    if (count === 1) return `${item}?`;
    if (count <= repeatMax) return this.#expanded(item, 0, count);
    const size = Math.ceil(Math.sqrt(count));
    const block = this.rule(`${hint}-block`, this.#expanded(item, size, size));
    const cut = this.rule(`${hint}-cut`, this.#expanded(item, 0, size - 1));
    let chain = this.rule(`${hint}-end`, count % size === 0 ? '""' : this.#expanded(item, 0, count % size));
    for (let left = Math.floor(count / size); left > 0; left--) {
      chain = this.rule(`${hint}-chain`, `${block} ${chain} | ${cut}`);
    }
    return chain;
  }

  #expanded(item: string, min: number, max: number): string {
    this.#expandedRules += max;
    if (this.#expandedRules > this.#limits.expandedRules) this.#tooLarge("what its repetitions may expand to");
    return `${item}{${min === max ? min : `${min},${max}`}}`;
  }

  #tooLarge(bound: string): never {
    throw refused(this.#path, `makes a grammar of more than ${bound}.`);
  }
}

/** A text as GBNF. */
export function literal(text: string): string {
  let out = "";
  for (const char of text) out += char === '"' || char === "\\" ? `\\${char}` : printable(char) ? char : escaped(char);
  return `"${out}"`;
}

/** Inclusive ranges of code points as a GBNF character class; must not be empty. */
export function charClass(ranges: readonly (readonly [first: number, last: number])[]): string {
  const text = ranges.map(([first, last]) =>
    first === last ? classChar(first) : `${classChar(first)}-${classChar(last)}`,
  );
  return `[${text.join("")}]`;
}

function printable(char: string): boolean {
  const code = char.codePointAt(0) as number;
  return code >= 0x20 && code < 0x7f;
}

function classChar(code: number): string {
  const char = String.fromCodePoint(code);
  return /^[A-Za-z0-9_ ,.:;/+@]$/.test(char) ? char : escaped(char);
}

function escaped(char: string): string {
  const code = char.codePointAt(0) as number;
  if (char === "\n") return "\\n";
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}
