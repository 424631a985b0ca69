// The objects that a schema allows: its properties in the schema's order, then further ones where it asks for them.
import { automatonOf, type Work, without } from "./automaton.ts";
import { jsonStringRule } from "./automaton-grammar.ts";
import { charsOf, complement, union } from "./char-set.ts";
import { refused, unsupported } from "./constraint-error.ts";
import { type GrammarBuilder, literal } from "./grammar-builder.ts";
import { listBody, memberBody, spaceRule, stringRule } from "./json-grammar.ts";
import type { SchemaContext } from "./json-schema.ts";
import { chars, choice, repeat, textOf } from "./regex-syntax.ts";
import type { Alternative } from "./schema-document.ts";
import { countOf, keyPath, listOf, type Part, recordOf, schemaAt } from "./schema-part.ts";

const propertiesMax = 1_000;
const furtherNameCharsMax = 64;

interface Property {
  readonly member: string;
  readonly required: boolean;
}

export function objectBody(context: SchemaContext, parts: Alternative): string | undefined {
  const { builder } = context;
  const required = new Set(parts.flatMap(requiredNames));
  const names = new Set([...parts.flatMap((part) => Object.keys(recordOf(part, "properties") ?? {})), ...required]);
  const [first] = parts as readonly [Part, ...Part[]];
  if (names.size > propertiesMax) throw refused(first.path, `must have at most ${propertiesMax} properties.`);
  const properties: Property[] = [];
  for (const name of names) {
    const rule = context.valueRule(parts.flatMap((part) => partsOf(part, name)));
    if (rule === undefined && required.has(name)) return undefined;
    if (rule === undefined) continue;
    const key = literal(JSON.stringify(name));
    properties.push({
      member: builder.rule(`m-${name}`, memberBody(builder, key, rule)),
      required: required.has(name),
    });
  }
  const further = furtherMember(context, parts, names);
  const counts = countsOf(parts, properties, further !== undefined);
  if (counts === undefined) return undefined;
  if (properties.length === 0) return furtherOnly(builder, further, counts);
  const { inside, mayBeEmpty } = memberList(builder, properties, further);
  return listBody("{", "}", spaceRule(builder), inside, mayBeEmpty);
}

function requiredNames(part: Part): string[] {
  const names = listOf(part, "required") ?? [];
  if (names.every((name) => typeof name === "string")) return names as string[];
  throw refused(keyPath(part.path, "required"), "must be an array of names.");
}

/** What one part says of a property: its own schema, else that of properties without one. */
function partsOf(part: Part, name: string): (Part | boolean)[] {
  const properties = recordOf(part, "properties");
  if (properties !== undefined && Object.hasOwn(properties, name)) {
    return [schemaAt(properties[name], keyPath(keyPath(part.path, "properties"), name))];
  }
  const further = furtherOf(part);
  return further === undefined ? [] : [further];
}

function furtherOf(part: Part): Part | boolean | undefined {
  const { schema, path } = part;
  if (schema.unevaluatedProperties !== undefined && schema.unevaluatedProperties !== false) {
    throw unsupported(keyPath(path, "unevaluatedProperties"), "must be false: generation can't be held to another.");
  }
  if (schema.additionalProperties === undefined) return undefined;
  return schemaAt(schema.additionalProperties, keyPath(path, "additionalProperties"));
}

/**
 * A member whose name is not among the schema's; undefined where there are none. A schema that does not say whether it
 * allows such is held to its own, unless it has none.
 */
function furtherMember(context: SchemaContext, parts: Alternative, names: ReadonlySet<string>): string | undefined {
  const said = parts.flatMap((part) => furtherOf(part) ?? []);
  if (said.length === 0 && names.size > 0) return undefined;
  if (parts.some(({ schema }) => schema.unevaluatedProperties === false)) return undefined;
  const value = context.valueRule(said);
  if (value === undefined) return undefined;
  const { builder, work } = context;
  const key = names.size === 0 ? stringRule(builder, 0, furtherNameCharsMax) : otherNames(builder, work, names);
  return builder.rule("further", memberBody(builder, key, value));
}

/** Names of plain characters that are none of `names`. */
function otherNames(builder: GrammarBuilder, work: Work, names: ReadonlySet<string>): string {
  const plain = chars(complement(union([[0x01, 0x1f]], charsOf('"\\\u007f'))));
  const any = automatonOf(repeat(plain, 1, furtherNameCharsMax), work);
  const known = automatonOf(choice(...[...names].map(textOf)), work);
  return jsonStringRule(builder, "name", without(any, known, work));
}

interface Counts {
  readonly min: number;
  readonly max: number | undefined;
}

/** The bounds of the count, where they still say something; undefined when they can't be kept. */
function countsOf(parts: Alternative, properties: readonly Property[], further: boolean): Counts | undefined {
  const min = Math.max(0, ...parts.map((part) => countOf(part, "minProperties") ?? 0));
  const maxima = parts.flatMap((part) => countOf(part, "maxProperties") ?? []);
  const max = maxima.length === 0 ? undefined : Math.min(...maxima);
  const [fewest, most] = [properties.filter(({ required }) => required).length, properties.length];
  if ((max !== undefined && max < Math.max(fewest, min)) || (min > most && !further)) return undefined;
  const [first] = parts as readonly [Part, ...Part[]];
  const onlyFurther = most === 0;
  // Names of further properties may repeat, and then count once.
  if (min > fewest && !(onlyFurther && min === 1)) {
    throw unsupported(
      keyPath(first.path, "minProperties"),
      "can be held only up to the number of required properties.",
    );
  }
  if (max !== undefined && !onlyFurther && (further || max < most)) {
    throw unsupported(keyPath(first.path, "maxProperties"), "can be held only where there are no optional properties.");
  }
  if (max !== undefined && max > propertiesMax && onlyFurther) {
    throw refused(keyPath(first.path, "maxProperties"), `must be at most ${propertiesMax}.`);
  }
  return { min, max };
}

function furtherOnly(builder: GrammarBuilder, further: string | undefined, { min, max }: Counts): string | undefined {
  if (further === undefined || max === 0) return min > 0 ? undefined : '"{" "}"';
  const ws = spaceRule(builder);
  const next = builder.rule("next", `"," ${ws} ${further}`);
  const rest = max === 1 ? "" : builder.repeat("members", next, 0, max === undefined ? undefined : max - 1);
  return listBody("{", "}", ws, `${further} ${rest}`, min === 0);
}

/** From the last property back: what may follow it, with a comma (`rest`) and as the first member (`first`). */
function memberList(
  builder: GrammarBuilder,
  properties: readonly Property[],
  further: string | undefined,
): { inside: string; mayBeEmpty: boolean } {
  const ws = spaceRule(builder);
  let rest = further === undefined ? "" : builder.rule("rest", `("," ${ws} ${further})*`);
  let first = further === undefined ? undefined : `${further} ${rest}`;
  for (const { member, required } of properties.toReversed()) {
    const begun = `${member} ${rest}`;
    first = required || first === undefined ? begun : builder.rule("first", `${begun} | ${first}`);
    const next = `"," ${ws} ${member} ${rest}`;
    rest = builder.rule("rest", required ? next : `${next} | ${rest || '""'}`);
  }
  return { inside: first as string, mayBeEmpty: !properties.some(({ required }) => required) };
}
