// Says where a document breaks its JSON Schema: a second, plain reading of the keywords that the soak's schemas use.

/** A JSON Schema of the keywords below; another keyword in one of the soak's schemas is a mistake of its author. */
export type Schema = { readonly [keyword: string]: unknown };

type Check = (value: unknown, argument: never, schema: Schema, root: Schema) => string | undefined;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: (value) => Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const size = (value: unknown): number => (typeof value === "string" ? [...value].length : (value as unknown[]).length);

/** Each says what is wrong, or nothing. Keywords say nothing of values of a type that is not theirs. */
const checks: Readonly<Record<string, Check>> = {
  type: (value, names: string | string[]) =>
    [names].flat().some((name) => types[name]?.(value)) ? undefined : `is no ${[names].flat().join(" or ")}`,
  const: (value, wanted: unknown) => (same(value, wanted) ? undefined : "is not the constant"),
  enum: (value, allowed: unknown[]) => (allowed.some((one) => same(one, value)) ? undefined : "is not in the enum"),
  minimum: (value, min: number) => (typeof value === "number" && value < min ? `is less than ${min}` : undefined),
  maximum: (value, max: number) => (typeof value === "number" && value > max ? `is more than ${max}` : undefined),
  minLength: (value, min: number) => (typeof value === "string" && size(value) < min ? "is too short" : undefined),
  maxLength: (value, max: number) => (typeof value === "string" && size(value) > max ? "is too long" : undefined),
  minItems: (value, min: number) => (Array.isArray(value) && size(value) < min ? "has too few items" : undefined),
  maxItems: (value, max: number) => (Array.isArray(value) && size(value) > max ? "has too many items" : undefined),
  pattern: (value, source: string) =>
    typeof value === "string" && !new RegExp(source, "u").test(value) ? "does not match its pattern" : undefined,
  required: (value, names: string[]) => {
    const missing = isObject(value) ? names.find((name) => !Object.hasOwn(value, name)) : undefined;
    return missing === undefined ? undefined : `lacks ${missing}`;
  },
  properties: (value, members: Record<string, Schema>, _schema, root) =>
    isObject(value)
      ? firstFault(Object.entries(members), ([name, schema]) =>
          Object.hasOwn(value, name) ? within(`.${name}`, faultOf(schema, value[name], root)) : undefined,
        )
      : undefined,
  additionalProperties: (value, schema: Schema | boolean, { properties }, root) => {
    const known = isObject(properties) ? properties : {};
    const extra = isObject(value) ? Object.keys(value).filter((name) => !Object.hasOwn(known, name)) : [];
    if (schema === false) return extra.length > 0 ? `has ${extra[0]}, which is not allowed` : undefined;
    if (schema === true || !isObject(value)) return undefined;
    return firstFault(extra, (name) => within(`.${name}`, faultOf(schema, value[name], root)));
  },
  items: (value, schema: Schema, _schema, root) =>
    Array.isArray(value)
      ? firstFault([...value.entries()], ([index, item]) => within(`[${index}]`, faultOf(schema, item, root)))
      : undefined,
  anyOf: (value, schemas: Schema[], _schema, root) =>
    schemas.some((schema) => faultOf(schema, value, root) === undefined) ? undefined : "fits none of anyOf",
  $ref: (value, path: string, _schema, root) => faultOf(resolve(path, root), value, root),
  $defs: () => undefined,
  description: () => undefined,
};

/** Where and how a value breaks the schema; undefined when it fits. Throws for a keyword that it does not know. */
export function faultOf(schema: Schema, value: unknown, root: Schema = schema): string | undefined {
  return firstFault(Object.entries(schema), ([keyword, argument]) => {
    const check = checks[keyword];
    if (check === undefined) throw new Error(`the soak does not know the keyword ${keyword}`);
    return check(value, argument as never, schema, root);
  });
}

function firstFault<T>(list: readonly T[], find: (one: T) => string | undefined): string | undefined {
  for (const one of list) {
    const fault = find(one);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function within(place: string, fault: string | undefined): string | undefined {
  return fault === undefined
    ? undefined
    : `${place}${fault.startsWith(".") || fault.startsWith("[") ? "" : " "}${fault}`;
}

/** `#/$defs/NAME`, and nothing else. */
function resolve(path: string, root: Schema): Schema {
  const name = /^#\/\$defs\/([\w-]+)$/.exec(path)?.[1];
  const found = name !== undefined && isObject(root.$defs) ? root.$defs[name] : undefined;
  if (!isObject(found)) throw new Error(`the soak's schema has no ${path}`);
  return found;
}
