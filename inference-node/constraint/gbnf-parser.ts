// Reads a GBNF grammar that a caller wrote, so that the engine is given none that it would choke on.
import { anyChar, type CharRange, charSet, complement, intersection } from "./char-set.ts";
import { refused, unsupported } from "./constraint-error.ts";
import type { GbnfGrammar, GbnfItem, GbnfSequence } from "./gbnf-syntax.ts";

const limits = { depth: 64, repeats: 1_000, rules: 20_000 } as const;

/** Throws INVALID_ARGUMENT, with line and column, for what is no GBNF or beyond its bounds. */
export function parseGbnf(source: string, path: string): GbnfGrammar {
  return new GbnfParser(source, path).parse();
}

class GbnfParser {
  readonly #source: string;
  readonly #path: string;
  readonly #rules = new Map<string, readonly GbnfSequence[]>();
  #at = 0;
  #depth = 0;

  constructor(source: string, path: string) {
    this.#source = source;
    this.#path = path;
  }

  parse(): GbnfGrammar {
    this.#space(true);
    while (this.#at < this.#source.length) this.#rule();
    return { rules: this.#rules };
  }

  #rule(): void {
    const start = this.#at;
    const name = this.#name() ?? this.#malformed("a rule's name must stand here");
    this.#space(false);
    if (!this.#source.startsWith("::=", this.#at)) this.#malformed("::= must stand here");
    this.#at += 3;
    this.#space(true);
    if (this.#rules.has(name)) this.#malformed(`the rule ${name} is there twice`, start);
    if (this.#rules.size >= limits.rules) this.#malformed(`there are more than ${limits.rules} rules`, start);
    this.#rules.set(name, this.#options(false));
    if (this.#at < this.#source.length && !/[\r\n]/.test(this.#peek())) this.#malformed("this belongs to no rule");
    this.#space(true);
  }

  #options(nested: boolean): GbnfSequence[] {
    const options = [this.#sequence(nested)];
    while (this.#take("|")) {
      this.#space(true);
      options.push(this.#sequence(nested));
    }
    return options;
  }

  #sequence(nested: boolean): GbnfSequence {
    const items: GbnfItem[] = [];
    for (;;) {
      const at = this.#at;
      const bounds = this.#bounds();
      const item = bounds === undefined ? this.#item() : this.#repeated(items.pop(), bounds, at);
      if (item === undefined) return items;
      items.push(item);
      this.#space(nested);
    }
  }

  #item(): GbnfItem | undefined {
    const at = this.#at;
    const char = this.#peek();
    if (char === '"') return this.#text();
    if (char === "[") return this.#class();
    if (char === "(") return this.#group();
    if (char === "<" || char === "!") {
      throw unsupported(this.#path, `names a token, which is not supported, ${this.#where(at)}.`);
    }
    if (this.#take(".")) return { type: "class", set: anyChar };
    const name = this.#name();
    return name === undefined ? undefined : { type: "rule", name, at };
  }

  #repeated(item: GbnfItem | undefined, [min, max]: Bounds, at: number): GbnfItem {
    if (item === undefined) this.#malformed("there is nothing before this to repeat", at);
    if (item.type === "repeat") this.#malformed("a repetition can't repeat another; put a rule between them", at);
    return { type: "repeat", item, min, max };
  }

  #bounds(): Bounds | undefined {
    if (this.#take("*")) return [0, undefined];
    if (this.#take("+")) return [1, undefined];
    if (this.#take("?")) return [0, 1];
    const at = this.#at;
    const match = this.#match(/\{[ \t]*(\d+)[ \t]*(?:(,)[ \t]*(\d+)?[ \t]*)?\}/y);
    if (match === undefined) return this.#peek() === "{" ? this.#malformed("this is no {m,n}") : undefined;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === undefined ? undefined : Number(match[3]);
    // The engine writes repetitions out.
    if (Math.max(min, max ?? 0) > limits.repeats) this.#malformed(`this repeats more than ${limits.repeats} times`, at);
    if (max !== undefined && max < min) this.#malformed("its bounds are reversed", at);
    return [min, max];
  }

  #text(): GbnfItem {
    const start = this.#at++;
    let text = "";
    while (!this.#take('"')) text += String.fromCodePoint(this.#char("the text", start));
    return { type: "text", text };
  }

  #class(): GbnfItem {
    const start = this.#at++;
    const negated = this.#take("^");
    const ranges: CharRange[] = [];
    while (!this.#take("]")) {
      const first = this.#char("the class", start);
      const isRange = this.#peek() === "-" && this.#source[this.#at + 1] !== "]";
      if (isRange) this.#at += 1;
      const last = isRange ? this.#char("the class", start) : first;
      if (last < first) this.#malformed("the ends of a range are reversed", start);
      ranges.push([first, last]);
    }
    if (ranges.length === 0) this.#malformed("an empty class", start);
    const set = charSet(ranges);
    return { type: "class", set: negated ? complement(set) : intersection(set, anyChar) };
  }

  #group(): GbnfItem {
    const start = this.#at++;
    this.#depth += 1;
    if (this.#depth > limits.depth) this.#malformed(`groups are nested deeper than ${limits.depth}`, start);
    this.#space(true);
    const options = this.#options(true);
    if (!this.#take(")")) this.#malformed("a ( without its )", start);
    this.#depth -= 1;
    return { type: "group", options };
  }

  #char(what: string, start: number): number {
    const escaped = this.#match(/\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([trn\\"[\]-]))/y);
    if (escaped !== undefined) {
      const hex = escaped[1] ?? escaped[2] ?? escaped[3];
      const code = hex === undefined ? unescaped(escaped[4] as string) : Number.parseInt(hex, 16);
      return code <= 0x10ffff ? code : this.#malformed("there is no such character");
    }
    const code = this.#source.codePointAt(this.#at);
    if (code === undefined) this.#malformed(`${what} has no end`, start);
    if (code === 0x5c) this.#malformed("this escape is not known");
    this.#at += code > 0xffff ? 2 : 1;
    return code;
  }

  #name(): string | undefined {
    return this.#match(/[A-Za-z0-9-]+/y)?.[0];
  }

  #space(newlines: boolean): void {
    this.#match(newlines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y);
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  #peek(): string {
    return this.#source[this.#at] ?? "";
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at += 1;
    return true;
  }

  #malformed(what: string, at = this.#at): never {
    throw refused(this.#path, `is no GBNF grammar that can be used: ${what}, ${this.#where(at)}.`);
  }

  #where(at: number): string {
    const before = this.#source.slice(0, at).split("\n");
    return `line ${before.length}, column ${(before.at(-1) as string).length + 1}`;
  }
}

type Bounds = readonly [min: number, max: number | undefined];

function unescaped(char: string): number {
  const control = { t: "\t", r: "\r", n: "\n" }[char];
  return (control ?? char).charCodeAt(0);
}
