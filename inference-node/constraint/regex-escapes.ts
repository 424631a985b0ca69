// What the escapes of a regular expression stand for.
import { anyChar, type CharRange, type CharSet, charSet, charsOf, complement, intersection } from "./char-set.ts";

const digitChars: CharSet = [[0x30, 0x39]];

const wordChars = charSet([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);

/** ECMAScript's WhiteSpace and LineTerminator. */
const spaceChars = charSet([
  ...charsOf("\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"),
  [0x2000, 0x200a],
]);

const classes: Readonly<Record<string, CharSet>> = {
  d: digitChars,
  D: complement(digitChars),
  w: wordChars,
  W: complement(wordChars),
  s: spaceChars,
  S: complement(spaceChars),
  n: charsOf("\n"),
  r: charsOf("\r"),
  t: charsOf("\t"),
  v: charsOf("\v"),
  f: charsOf("\f"),
  a: charsOf("\u0007"),
  e: charsOf("\u001b"),
};

/** The characters of `\d`, `\n` and their like; undefined for what is none of them. */
export function charsOfEscape(char: string): CharSet | undefined {
  return Object.hasOwn(classes, char) ? classes[char] : undefined;
}

/**
 * The code point of `\xHH`, `\uHHHH` (a pair of them for one outside the basic plane), `\u{…}`, `\UHHHHHHHH` or `\cX`, and the
 * length of what follows the letter; undefined for another escape. `ahead` gives the next characters.
 */
export function hexEscape(
  char: string,
  ahead: (length: number) => string,
): { code: number; length: number } | undefined {
  const shapes: Readonly<Record<string, RegExp>> = {
    x: /^([0-9A-Fa-f]{2})/,
    u: /^(?:\{([0-9A-Fa-f]{1,6})\}|([Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2})|([0-9A-Fa-f]{4}))/,
    U: /^([0-9A-Fa-f]{8})/,
    c: /^([A-Za-z])/,
  };
  const match = shapes[char]?.exec(ahead(10));
  if (!match) return undefined;
  const text = match.slice(1).find((group) => group !== undefined) as string;
  const length = match[0].length;
  if (char === "c") return { code: text.charCodeAt(0) % 32, length };
  if (!text.includes("\\")) return { code: Number.parseInt(text, 16), length };
  const [high, low] = [text.slice(0, 4), text.slice(6)].map((half) => Number.parseInt(half, 16)) as [number, number];
  return { code: (high - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000, length };
}

/** The properties that were asked for last; each is some hundred ranges. */
const properties = new Map<string, CharSet>();
const propertiesMax = 32;
let everyChar: string | undefined;

/** The characters of `\p{name}`; undefined when there is no such property. */
export function propertyChars(name: string): CharSet | undefined {
  const known = properties.get(name);
  if (known !== undefined) return known;
  if (!/^[A-Za-z0-9_]+(?:=[A-Za-z0-9_]+)?$/.test(name)) return undefined;
  let runs: RegExp;
  try {
    runs = new RegExp(`\\p{${name}}+`, "gu");
  } catch {
    return undefined;
  }
  everyChar ??= allChars();
  const ranges: CharRange[] = [];
  for (const { 0: run } of everyChar.matchAll(runs)) {
    const last = run.codePointAt(run.length - 1) as number;
    const end = last >= 0xdc00 && last <= 0xdfff ? (run.codePointAt(run.length - 2) as number) : last;
    ranges.push([run.codePointAt(0) as number, end]);
  }
  const set = charSet(ranges.flatMap((range) => intersection([range], anyChar)));
  if (properties.size >= propertiesMax) properties.delete(properties.keys().next().value as string);
  properties.set(name, set);
  return set;
}

/** Every character in turn. */
function allChars(): string {
  let text = "";
  for (const [first, last] of anyChar) {
    for (let code = first; code <= last; code += 4096) {
      const length = Math.min(4096, last - code + 1);
      text += String.fromCodePoint(...Array.from({ length }, (_, i) => code + i));
    }
  }
  return text;
}
