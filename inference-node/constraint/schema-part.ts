// One place in a JSON Schema: its keywords, read with their types checked, and the path that errors name it by.
import { refused, unsupported } from "./constraint-error.ts";

export type SchemaObject = Readonly<Record<string, unknown>>;

/** A schema object and where it stands. */
export interface Part {
  readonly schema: SchemaObject;
  readonly path: string;
}

export const jsonTypes = ["null", "boolean", "integer", "number", "string", "array", "object"] as const;
export type JsonType = (typeof jsonTypes)[number];

/** Say something about a value without holding it to anything, or are places where other schemas stand. */
const annotations: ReadonlySet<string> = new Set([
  ...["title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment"],
  ...[
    "$schema",
    "$defs",
    "definitions",
    "$anchor",
    "$vocabulary",
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
  ],
  ...[
    "discriminator",
    "xml",
    "externalDocs",
    "propertyOrdering",
    "enumNames",
    "enumDescriptions",
    "markdownDescription",
  ],
]);

/** Keywords of one type of value; in a schema without `type`, they tell which type is meant. */
const typeOfKeyword: Readonly<Record<string, JsonType>> = {
  properties: "object",
  required: "object",
  additionalProperties: "object",
  unevaluatedProperties: "object",
  minProperties: "object",
  maxProperties: "object",
  items: "array",
  prefixItems: "array",
  additionalItems: "array",
  minItems: "array",
  maxItems: "array",
  uniqueItems: "array",
  minLength: "string",
  maxLength: "string",
  pattern: "string",
  minimum: "number",
  maximum: "number",
  exclusiveMinimum: "number",
  exclusiveMaximum: "number",
  multipleOf: "number",
};

const combinators = ["$ref", "allOf", "anyOf", "oneOf"] as const;
const others: ReadonlySet<string> = new Set([...combinators, "type", "nullable", "enum", "const", "format", "$id"]);

/** In JSON Schema, and nothing that a grammar can hold a text to. */
const unheld: ReadonlySet<string> = new Set([
  ...["not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas"],
  ...["dependencies", "contains", "minContains", "maxContains", "unevaluatedItems", "$dynamicRef", "$dynamicAnchor"],
  ...["$recursiveRef", "$recursiveAnchor"],
]);

/** Throws INVALID_ARGUMENT for the first keyword that generation can't be held to. */
export function requireKnownKeywords({ schema, path }: Part): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (annotations.has(keyword) || keyword.startsWith("x-")) continue;
    if (unheld.has(keyword))
      throw unsupported(keyPath(path, keyword), "is a keyword that generation can't be held to.");
    if (!others.has(keyword) && !Object.hasOwn(typeOfKeyword, keyword)) {
      throw unsupported(keyPath(path, keyword), "is not a keyword that is known here.");
    }
    if (keyword === "uniqueItems" && value !== false) {
      throw unsupported(keyPath(path, keyword), "is a keyword that generation can't be held to.");
    }
  }
}

/** Whether the schema has a keyword that is no annotation, besides those of `except`. */
export function constrains({ schema }: Part, except: readonly string[]): boolean {
  return Object.keys(schema).some(
    (keyword) =>
      !annotations.has(keyword) && !keyword.startsWith("x-") && keyword !== "$id" && !except.includes(keyword),
  );
}

/** The types that `type` and `nullable` name; undefined when there is no `type`. */
export function namedTypes({ schema, path }: Part): ReadonlySet<JsonType> | undefined {
  if (schema.type === undefined) return undefined;
  const names = Array.isArray(schema.type) ? schema.type : [schema.type];
  const unknown = names.find((name) => !jsonTypes.includes(name as JsonType));
  if (names.length === 0 || unknown !== undefined) {
    throw refused(`${path}.type`, `must be one of ${jsonTypes.join(", ")}, or a list of them.`);
  }
  return new Set([...(names as JsonType[]), ...(schema.nullable === true ? (["null"] as const) : [])]);
}

/** The types that the other keywords are about. */
export function impliedTypes({ schema }: Part): JsonType[] {
  const implied = Object.keys(schema).flatMap((keyword) =>
    Object.hasOwn(typeOfKeyword, keyword) ? [typeOfKeyword[keyword] as JsonType] : [],
  );
  return typeof schema.format === "string" ? [...implied, "string"] : implied;
}

/** Whether the schema has a keyword of the type. */
export function mentions({ schema }: Part, type: JsonType): boolean {
  return Object.keys(schema).some(
    (keyword) => Object.hasOwn(typeOfKeyword, keyword) && typeOfKeyword[keyword] === type,
  );
}

/** A keyword that counts. */
export function countOf({ schema, path }: Part, keyword: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw refused(keyPath(path, keyword), "must be a whole number of at least 0.");
}

export function numberOf({ schema, path }: Part, keyword: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw refused(keyPath(path, keyword), "must be a number.");
}

export function textOfKeyword({ schema, path }: Part, keyword: string): string | undefined {
  const value = schema[keyword];
  if (value === undefined || typeof value === "string") return value;
  throw refused(keyPath(path, keyword), "must be a string.");
}

export function listOf({ schema, path }: Part, keyword: string): readonly unknown[] | undefined {
  const value = schema[keyword];
  if (value === undefined || Array.isArray(value)) return value;
  throw refused(keyPath(path, keyword), "must be an array.");
}

export function recordOf({ schema, path }: Part, keyword: string): SchemaObject | undefined {
  const value = schema[keyword];
  if (value === undefined || isRecord(value)) return value;
  throw refused(keyPath(path, keyword), "must be an object.");
}

/** A schema where one must stand; true and false are schemas too. */
export function schemaAt(value: unknown, path: string): Part | boolean {
  if (typeof value === "boolean") return value;
  if (isRecord(value)) return { schema: value, path };
  throw refused(path, "must be a schema: an object, true or false.");
}

export function isRecord(value: unknown): value is SchemaObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The path of a member: `.name`, or `["odd name"]`. */
export function keyPath(path: string, key: string): string {
  const short = key.length > 64 ? `${key.slice(0, 64)}…` : key;
  return /^[A-Za-z0-9_$-]+$/.test(short) ? `${path}.${short}` : `${path}[${JSON.stringify(short)}]`;
}
