// Reads a regular expression (ECMAScript's syntax, and Python's where that has no other meaning) into a tree.
import { anyChar, type CharSet, charSet, complement, intersection, union } from "./char-set.ts";
import { refused, unsupported } from "./constraint-error.ts";
import { charsOfEscape, hexEscape, propertyChars } from "./regex-escapes.ts";
import { chars, choice, empty, type Regex, repeat, sequence } from "./regex-syntax.ts";

/** UTF-16 code units; groups in groups. */
const limits = { length: 16_384, depth: 100, properties: 8 } as const;

const lineEnds: CharSet = charSet([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);

/** Groups that look around or change flags, by what they begin with; none of it is regular or none of it is here. */
const refusedGroups: readonly (readonly [string, string])[] = [
  ["?=", "lookahead"],
  ["?!", "negative lookahead"],
  ["?<=", "lookbehind"],
  ["?<!", "negative lookbehind"],
  ["?>", "atomic groups"],
  ["?(", "conditional groups"],
  ["?P=", "backreferences"],
  ["?#", "comments"],
  ["?|", "branch reset groups"],
];

/**
 * Parses an expression. Throws INVALID_ARGUMENT, with the position, for one that is malformed, or uses what is not regular
 * (lookaround, backreferences), word boundaries or flags.
 */
export function parseRegex(source: string, path: string): Regex {
  if (source.length > limits.length) throw refused(path, `must have at most ${limits.length} characters.`);
  return new RegexParser(source, path).parse();
}

class RegexParser {
  readonly #chars: readonly string[];
  readonly #path: string;
  readonly #properties = new Map<string, CharSet>();
  #at = 0;
  #depth = 0;

  constructor(source: string, path: string) {
    this.#chars = Array.from(source);
    this.#path = path;
  }

  parse(): Regex {
    const regex = this.#choice();
    if (this.#at < this.#chars.length) this.#malformed("an unmatched )");
    return regex;
  }

  #choice(): Regex {
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    return choice(...options);
  }

  #sequence(): Regex {
    const parts: Regex[] = [];
    for (let char = this.#peek(); char !== undefined && char !== "|" && char !== ")"; char = this.#peek()) {
      parts.push(this.#quantified(this.#atom()));
    }
    return parts.length === 0 ? empty : sequence(...parts);
  }

  #atom(): Regex {
    const start = this.#at;
    const char = this.#next();
    switch (char) {
      case "(":
        return this.#group(start);
      case "[":
        return chars(this.#class(start));
      case ".":
        return chars(complement(lineEnds));
      case "^":
        return { type: "start" };
      case "$":
        return { type: "end" };
      case "\\":
        return this.#escape(start);
      case "*":
      case "+":
      case "?":
        return this.#malformed(`a ${char} with nothing to repeat`, start);
      case "{":
        this.#at = start;
        if (this.#counts() !== undefined) this.#malformed("a {} with nothing to repeat", start);
        this.#at = start + 1;
        break;
    }
    return chars(this.#exact(char.codePointAt(0) as number, start));
  }

  #group(start: number): Regex {
    this.#depth += 1;
    if (this.#depth > limits.depth) this.#malformed(`groups nested deeper than ${limits.depth}`, start);
    if (this.#peek() === "?") this.#groupHead(start);
    const inside = this.#choice();
    if (!this.#take(")")) this.#malformed("a ( without its )", start);
    this.#depth -= 1;
    return inside;
  }

  #groupHead(start: number): void {
    const head = this.#chars.slice(this.#at, this.#at + 3).join("");
    const found = refusedGroups.find(([prefix]) => head.startsWith(prefix));
    if (found !== undefined) this.#lacking(found[1], start);
    this.#at += 1;
    if (this.#take(":")) return;
    if (this.#peek() === "P") this.#at += 1;
    if (!this.#take("<")) this.#lacking("flags inside an expression", start);
    let name = "";
    while (this.#peek() !== undefined && this.#peek() !== ">") name += this.#next();
    if (!this.#take(">") || !/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) this.#malformed("a malformed group name", start);
  }

  #quantified(atom: Regex): Regex {
    const start = this.#at;
    let regex = atom;
    for (;;) {
      const counts = this.#quantifier();
      if (counts === undefined) return regex;
      if (regex !== atom) this.#malformed("two quantifiers in a row", start);
      if (atom.type === "start" || atom.type === "end") this.#malformed("a quantifier after an anchor", start);
      regex = repeat(atom, ...counts);
      // A lazy quantifier matches the same texts.
      if (this.#take("?")) return regex;
      if (this.#peek() === "+") this.#lacking("possessive quantifiers", start);
    }
  }

  #quantifier(): [min: number, max: number | undefined] | undefined {
    if (this.#take("*")) return [0, undefined];
    if (this.#take("+")) return [1, undefined];
    if (this.#take("?")) return [0, 1];
    return this.#counts();
  }

  /** A `{m,n}`; undefined, and still before it, when the brace is no quantifier: it is then a character. */
  #counts(): [min: number, max: number | undefined] | undefined {
    const start = this.#at;
    if (!this.#take("{")) return undefined;
    const min = this.#digits();
    const comma = this.#take(",");
    const max = comma ? this.#digits() : min;
    // Also Python's {,n} is taken; {} and {,} are text, as they are in JavaScript outside its u flag.
    if ((min === "" && max === "") || !this.#take("}")) {
      this.#at = start;
      return undefined;
    }
    const counts: [number, number | undefined] = [Number(min || "0"), max === "" ? undefined : Number(max)];
    if (counts[1] !== undefined && counts[1] < counts[0])
      this.#malformed("a quantifier whose bounds are reversed", start);
    return counts;
  }

  #digits(): string {
    let digits = "";
    while (/^[0-9]$/.test(this.#peek() ?? "")) digits += this.#next();
    return digits;
  }

  #escape(start: number): Regex {
    const char = this.#peek() ?? this.#malformed("a \\ at the end", start);
    if (/^[1-9]$/.test(char) || char === "k") this.#lacking("backreferences", start);
    if (char === "b" || char === "B") this.#lacking("word boundaries", start);
    if (char === "A") return this.#anchor("start");
    if (char === "z" || char === "Z") return this.#anchor("end");
    return chars(this.#escapedChars(start));
  }

  #anchor(type: "start" | "end"): Regex {
    this.#at += 1;
    return { type };
  }

  /** What follows a `\`, in a class or out of one. */
  #escapedChars(start: number): CharSet {
    const char = this.#next();
    if (char === "p" || char === "P") {
      const set = this.#property(start);
      return char === "p" ? set : complement(set);
    }
    const hex = hexEscape(char, (length) => this.#chars.slice(this.#at, this.#at + length).join(""));
    if (hex !== undefined) {
      this.#at += hex.length;
      return this.#exact(hex.code, start);
    }
    const known = charsOfEscape(char);
    if (known !== undefined) return known;
    if (/^[A-Za-z0-9]$/.test(char)) this.#lacking(`the escape \\${char}`, start);
    return this.#exact(char.codePointAt(0) as number, start);
  }

  #exact(code: number, start: number): CharSet {
    const set = intersection([[code, code]], anyChar);
    return set.length > 0
      ? set
      : this.#malformed("a character that no text has (U+0000 or half a surrogate pair)", start);
  }

  #property(start: number): CharSet {
    let name = "";
    if (this.#take("{")) {
      while (this.#peek() !== undefined && this.#peek() !== "}" && name.length < 64) name += this.#next();
      if (!this.#take("}")) this.#malformed("a \\p without its }", start);
    } else {
      name = this.#next();
    }
    const known = this.#properties.get(name);
    if (known !== undefined) return known;
    // Each costs a look at every code point.
    if (this.#properties.size >= limits.properties) {
      this.#lacking(`more than ${limits.properties} different Unicode properties`, start);
    }
    const set = propertyChars(name) ?? this.#malformed(`an unknown Unicode property ${JSON.stringify(name)}`, start);
    this.#properties.set(name, set);
    return set;
  }

  #class(start: number): CharSet {
    const negated = this.#take("^");
    const sets: CharSet[] = [];
    for (let first = true; ; first = false) {
      const char = this.#peek() ?? this.#malformed("a [ without its ]", start);
      // An empty class is JavaScript's; in Python a ] that comes first is a character. Neither is worth guessing.
      if (char === "]" && first) this.#malformed("an empty class", start);
      if (this.#take("]")) break;
      sets.push(this.#classItem(start));
    }
    const set = union(...sets);
    const result = negated ? complement(set) : set;
    return result.length > 0 ? result : this.#malformed("a class that no character is in", start);
  }

  #classItem(start: number): CharSet {
    const from = this.#classAtom(start);
    if (this.#peek() !== "-" || this.#chars[this.#at + 1] === "]" || this.#chars[this.#at + 1] === undefined)
      return from;
    const at = this.#at;
    this.#at += 1;
    const to = this.#classAtom(start);
    const [first, last] = [singleOf(from), singleOf(to)];
    // [\d-x] is the three, as outside JavaScript's u flag.
    if (first === undefined || last === undefined) return union(from, to, [[0x2d, 0x2d]]);
    if (last < first) this.#malformed("a range whose ends are reversed", at - 1);
    return intersection([[first, last]], anyChar);
  }

  #classAtom(start: number): CharSet {
    const at = this.#at;
    const char = this.#next();
    if (char !== "\\") return this.#exact(char.codePointAt(0) as number, at);
    if (this.#peek() === undefined) this.#malformed("a [ without its ]", start);
    if (this.#take("b")) return [[0x08, 0x08]];
    if (/^[1-9]$/.test(this.#peek() ?? "")) this.#lacking("octal escapes", at);
    return this.#escapedChars(at);
  }

  #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #next(): string {
    const char = this.#chars[this.#at] ?? this.#malformed("an end where more must come", this.#at);
    this.#at += 1;
    return char;
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false;
    this.#at += 1;
    return true;
  }

  #malformed(what: string, at = this.#at): never {
    throw refused(this.#path, `is no regular expression: it has ${what}, at position ${at}.`);
  }

  #lacking(what: string, at: number): never {
    throw unsupported(
      this.#path,
      `uses ${what}, which ${what.endsWith("s") ? "are" : "is"} not supported, at position ${at}.`,
    );
  }
}

function singleOf(set: CharSet): number | undefined {
  const [range] = set;
  return set.length === 1 && range !== undefined && range[0] === range[1] ? range[0] : undefined;
}
