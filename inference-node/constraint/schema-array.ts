// The arrays that a schema allows: leading items each of its own kind, then items of one kind, counted.
import { refused } from "./constraint-error.ts";
import { countMax } from "./grammar-builder.ts";
import { listBody, spaceRule } from "./json-grammar.ts";
import type { SchemaContext } from "./json-schema.ts";
import type { Alternative } from "./schema-document.ts";
import { countOf, keyPath, type Part, schemaAt } from "./schema-part.ts";

const leadingMax = 256;

interface Items {
  readonly leading: readonly (Part | boolean)[];
  /** What follows them; undefined when the schema does not say. */
  readonly rest: Part | boolean | undefined;
}

export function arrayBody(context: SchemaContext, parts: Alternative): string | undefined {
  const { builder } = context;
  const items = parts.map(itemsOf);
  const min = Math.max(0, ...parts.map((part) => boundOf(part, "minItems") ?? 0));
  let max = Math.min(...parts.map((part) => boundOf(part, "maxItems") ?? Number.POSITIVE_INFINITY));
  const leadingCount = Math.max(...items.map(({ leading }) => leading.length));
  // Behind items that are named one by one, others may come; they are made only where the schema asks for them.
  const mayGoOn = leadingCount === 0 || min > leadingCount || items.some(({ rest }) => rest !== undefined);
  const rules: string[] = [];
  for (let i = 0; i < Math.min(leadingCount, max); i++) {
    const rule = context.valueRule(items.flatMap((one) => partsAt(one, i)));
    if (rule === undefined) max = i;
    else rules.push(rule);
  }
  if (max > leadingCount) {
    const rest = mayGoOn ? context.valueRule(items.flatMap((one) => partsAt(one, leadingCount))) : undefined;
    if (rest === undefined) max = leadingCount;
    else rules.push(rest);
  }
  if (min > max) return undefined;
  return max === 0
    ? '"[" "]"'
    : listBody("[", "]", spaceRule(builder), chainBody(context, rules, min, max, leadingCount), min === 0);
}

/** One item or more: `rules` has the leading items' in turn, then the one of all that follow. */
function chainBody(
  { builder }: SchemaContext,
  rules: readonly string[],
  min: number,
  max: number,
  leading: number,
): string {
  const ws = spaceRule(builder);
  const next = (rule: string): string => builder.rule("next", `"," ${ws} ${rule}`);
  let chain = "";
  if (max > leading) {
    const rule = rules[leading] as string;
    // The first item of all has no comma before it.
    const first = leading === 0 ? 1 : 0;
    const [from, to] = [Math.max(0, min - leading - first), Number.isFinite(max) ? max - leading - first : undefined];
    const rest = to === 0 ? "" : builder.repeat("items", next(rule), from, to);
    chain = first === 1 ? `${rule} ${rest}` : rest;
  }
  for (let i = Math.min(leading, max) - 1; i >= 0; i--) {
    const rule = rules[i] as string;
    if (i === 0) chain = `${rule} ${chain}`;
    else chain = i < min ? `${next(rule)} ${chain}` : builder.rule("rest", `(${next(rule)} ${chain})?`);
  }
  return chain;
}

function itemsOf(part: Part): Items {
  const { schema, path } = part;
  // Until 2020-12, a list under `items` was what prefixItems is now, and additionalItems what items is.
  const older = Array.isArray(schema.items);
  const [listKey, restKey] = older ? ["items", "additionalItems"] : ["prefixItems", "items"];
  const list = schema[listKey];
  const listPath = keyPath(path, listKey);
  if (list !== undefined && !Array.isArray(list)) throw refused(listPath, "must be an array of schemas.");
  if ((list?.length ?? 0) > leadingMax) throw refused(listPath, `must have at most ${leadingMax} schemas.`);
  const rest = schema[restKey];
  return {
    leading: (list ?? []).map((one: unknown, index: number) => schemaAt(one, `${listPath}[${index}]`)),
    rest: rest === undefined ? undefined : schemaAt(rest, keyPath(path, restKey)),
  };
}

function partsAt({ leading, rest }: Items, index: number): (Part | boolean)[] {
  const part = leading[index] ?? rest;
  return part === undefined ? [] : [part];
}

function boundOf(part: Part, keyword: string): number | undefined {
  const count = countOf(part, keyword);
  if (count !== undefined && count > countMax)
    throw refused(keyPath(part.path, keyword), `must be at most ${countMax}.`);
  return count;
}
