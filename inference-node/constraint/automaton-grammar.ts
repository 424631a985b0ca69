// Writes an automaton as grammar rules, one a state: as plain text, or as the inside of a JSON string.
import type { Automaton } from "./automaton.ts";
import { type CharSet, charSet, charsOf, complement, includes, intersection, union } from "./char-set.ts";
import { charClass, type GrammarBuilder, literal } from "./grammar-builder.ts";

/** The texts of an automaton that is not empty, as the name of a rule. */
export function textRule(builder: GrammarBuilder, hint: string, automaton: Automaton): string {
  return writeStates(builder, hint, automaton, '""', (set) => [classBody(builder, set)]);
}

/** The texts of an automaton as JSON strings, quotes included. */
export function jsonStringRule(builder: GrammarBuilder, hint: string, automaton: Automaton): string {
  const inside = writeStates(builder, hint, automaton, '"\\""', (set) => jsonChars(builder, set));
  return builder.rule(`${hint}-string`, `"\\"" ${inside}`);
}

function writeStates(
  builder: GrammarBuilder,
  hint: string,
  { states }: Automaton,
  end: string,
  bodies: (set: CharSet) => readonly string[],
): string {
  const names = states.map(() => builder.reserve(hint));
  for (const [id, { accepts, edges }] of states.entries()) {
    const options = edges.flatMap(({ set, to }) => bodies(set).map((body) => `${body} ${names[to]}`));
    if (accepts) options.push(end);
    builder.define(names[id] as string, options.join(" | "));
  }
  return names[0] as string;
}

const shortEscapes: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

const controls: CharSet = [[0x01, 0x1f]];

/** What stands for itself in a JSON string. */
const plainChars = complement(union(controls, charsOf('"\\')));

/**
 * A character of the set as it is written in JSON. Other control characters, which cost six characters each, are written
 * only where nothing else would do.
 */
function jsonChars(builder: GrammarBuilder, set: CharSet): string[] {
  const bodies: string[] = [];
  const plain = intersection(set, plainChars);
  if (plain.length > 0) bodies.push(classBody(builder, plain));
  for (const [char, text] of shortEscapes) {
    if (includes(set, char.codePointAt(0) as number)) bodies.push(literal(text));
  }
  if (bodies.length > 0) return bodies;
  return [...codes(intersection(set, controls))].map((code) => literal(`\\u${code.toString(16).padStart(4, "0")}`));
}

function* codes(set: CharSet): Generator<number> {
  for (const [first, last] of charSet(set)) for (let code = first; code <= last; code++) yield code;
}

/** A long class is a rule of its own, so that a thousand states share it. */
function classBody(builder: GrammarBuilder, set: CharSet): string {
  const text = charClass(set);
  return text.length > 40 ? builder.rule("class", text) : text;
}
