// The values that a schema lists, as the JSON texts they are written as.
import { accepts } from "./automaton.ts";
import { refused, unsupported } from "./constraint-error.ts";
import { type GrammarBuilder, literal } from "./grammar-builder.ts";
import type { SchemaContext } from "./json-schema.ts";
import type { Alternative } from "./schema-document.ts";
import { allowsNumber } from "./schema-number.ts";
import { isRecord, type JsonType, keyPath, listOf, mentions, type Part } from "./schema-part.ts";
import { allowsString } from "./schema-string.ts";

const valuesMax = 5_000;
const depthMax = 32;

/** The listed values that all parts and types allow; "" when there is none, undefined when no part lists values. */
export function enumBody(
  { builder, work }: SchemaContext,
  parts: Alternative,
  types: ReadonlySet<JsonType>,
): string | undefined {
  const lists = parts.flatMap((part) => listsOf(part));
  const [first, ...others] = lists;
  if (first === undefined) return undefined;
  const allowed = [...first].filter(([text, value]) => {
    work.spend(1 + text.length);
    return others.every((list) => list.has(text)) && allows(parts, types, value, work);
  });
  return allowed.length === 0 ? "" : literalsBody(builder, allowed.map(([text]) => text).sort());
}

/** Each list as the texts of its values. */
function listsOf(part: Part): Map<string, unknown>[] {
  const lists: Map<string, unknown>[] = [];
  if (part.schema.const !== undefined) lists.push(textsOf([part.schema.const], keyPath(part.path, "const")));
  const values = listOf(part, "enum");
  if (values === undefined) return lists;
  const path = keyPath(part.path, "enum");
  if (values.length === 0) throw refused(path, "must have at least one value.");
  if (values.length > valuesMax) throw refused(path, `must have at most ${valuesMax} values.`);
  return [...lists, textsOf(values, path)];
}

function textsOf(values: readonly unknown[], path: string): Map<string, unknown> {
  return new Map(
    values.map((value) => {
      if (depthOf(value) > depthMax) throw refused(path, `has a value nested deeper than ${depthMax} levels.`);
      return [JSON.stringify(value), value];
    }),
  );
}

function depthOf(value: unknown, at = 0): number {
  if (typeof value !== "object" || value === null || at > depthMax) return at;
  return Math.max(at, ...Object.values(value).map((member) => depthOf(member, at + 1)));
}

function allows(
  parts: Alternative,
  types: ReadonlySet<JsonType>,
  value: unknown,
  work: SchemaContext["work"],
): boolean {
  const type = typeOf(value);
  if (!types.has(type) && !(type === "integer" && types.has("number"))) return false;
  if (typeof value === "string") return allowsString(parts, value, (shape) => accepts(shape, value), work);
  if (typeof value === "number") return allowsNumber(parts, value);
  const nested = type === "array" || type === "object" ? parts.find((part) => mentions(part, type)) : undefined;
  if (nested !== undefined) {
    throw unsupported(nested.path, `lists ${type}s and also says what they must be like, which is not checked.`);
  }
  return true;
}

function typeOf(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (isRecord(value)) return "object";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value as "string" | "boolean";
}

/** Sorted texts as a tree over what they begin with, so that a character leaves one way open, not a thousand. */
function literalsBody(builder: GrammarBuilder, texts: readonly string[]): string {
  const options: string[] = [];
  for (let i = 0; i < texts.length; ) {
    const text = texts[i] as string;
    const head = [...text][0];
    if (head === undefined) {
      options.push('""');
      i += 1;
      continue;
    }
    let end = i;
    while (end < texts.length && (texts[end] as string).startsWith(head)) end += 1;
    options.push(groupBody(builder, texts.slice(i, end)));
    i = end;
  }
  return options.join(" | ");
}

/** Texts that begin alike. */
function groupBody(builder: GrammarBuilder, texts: readonly string[]): string {
  const [first, last] = [texts[0] as string, texts.at(-1) as string];
  if (texts.length === 1) return literal(first);
  let common = 0;
  while (common < first.length && first[common] === last[common]) common += 1;
  // Not between the halves of a surrogate pair.
  if (/[\ud800-\udbff]/.test(first[common - 1] ?? "")) common -= 1;
  const rest = builder.rule(
    "listed",
    literalsBody(
      builder,
      texts.map((text) => text.slice(common)),
    ),
  );
  return `${literal(first.slice(0, common))} ${rest}`;
}
