// Compiles a JSON Schema to grammar rules: what they generate is valid, and what they can't hold is refused by its path.
import { Work } from "./automaton.ts";
import { refused } from "./constraint-error.ts";
import type { GrammarBuilder } from "./grammar-builder.ts";
import { arrayRule, booleanRule, nullRule, objectRule, valueRule } from "./json-grammar.ts";
import { arrayBody } from "./schema-array.ts";
import { type Alternative, SchemaDocument } from "./schema-document.ts";
import { enumBody } from "./schema-enum.ts";
import { numberBody } from "./schema-number.ts";
import { objectBody } from "./schema-object.ts";
import { impliedTypes, type JsonType, jsonTypes, mentions, namedTypes, type Part } from "./schema-part.ts";
import { stringBody } from "./schema-string.ts";

const depthMax = 64;

/** What the compilation of a schema's parts shares. */
export interface SchemaContext {
  readonly builder: GrammarBuilder;
  readonly work: Work;
  /** A rule for values that hold to all of the parts; undefined when there is no such value. */
  valueRule(parts: readonly (Part | boolean)[]): string | undefined;
}

/**
 * Adds rules for a JSON value that `schema` (parsed JSON) accepts, and gives the name of the one to refer to. `path` is the
 * request's field that the schema stands in, `constraint.json_schema.schema_json` for one. Schemas of one request may share
 * their `work`.
 *
 * Throws INVALID_ARGUMENT, with the path of the part at fault, for what is no schema, is outside the subset that
 * docs/structured-output.md states, allows no value, or is too large.
 */
export function schemaRule(builder: GrammarBuilder, schema: unknown, path: string, work = new Work(path)): string {
  const document = new SchemaDocument(schema, path, work);
  const rule = new SchemaCompiler(builder, document, work).valueRule([document.root]);
  if (rule === undefined) throw refused(path, "allows no value.");
  return rule;
}

class SchemaCompiler implements SchemaContext {
  readonly builder: GrammarBuilder;
  readonly work: Work;
  readonly #document: SchemaDocument;
  readonly #rules = new Map<string, string | undefined>();
  /** Rules that are being made, with the depth that they were begun at. */
  readonly #open = new Map<string, number>();
  #depth = 0;
  /** Parts within parts, which need not be values within values. */
  #nesting = 0;

  constructor(builder: GrammarBuilder, document: SchemaDocument, work: Work) {
    this.builder = builder;
    this.#document = document;
    this.work = work;
  }

  valueRule(parts: readonly (Part | boolean)[]): string | undefined {
    const resolved = new Map<number, Part>();
    for (const part of parts) {
      const at = this.#document.resolved(part);
      if (at === false) return undefined;
      if (at !== true) resolved.set(this.#document.id(at), at);
    }
    const distinct = [...resolved.values()];
    const [first] = distinct;
    if (first === undefined) return valueRule(this.builder);
    // The same parts make the same rule: a recursive schema ends here.
    const key = [...resolved.keys()].sort((a, b) => a - b).join();
    if (this.#open.get(key) === this.#depth) throw refused(first.path, "refers to itself with nothing in between.");
    if (this.#rules.has(key)) return this.#rules.get(key);
    return this.#make(key, distinct);
  }

  #make(key: string, parts: readonly Part[]): string | undefined {
    const [first] = parts as readonly [Part, ...Part[]];
    if (this.#depth >= depthMax || this.#nesting >= 2 * depthMax)
      throw refused(first.path, `is nested deeper than ${depthMax} levels.`);
    this.work.spend(100);
    const name = this.builder.reserve(nameOf(first));
    this.#rules.set(key, name);
    this.#open.set(key, this.#depth);
    this.#nesting += 1;
    const bodies = this.#bodies(parts);
    this.#nesting -= 1;
    this.#open.delete(key);
    // A rule that others already refer to must not stay empty; one without an end is found and refused.
    this.builder.define(name, bodies.length === 0 ? `[\\x01] ${name}` : bodies.join(" | "));
    if (bodies.length === 0) this.#rules.set(key, undefined);
    return bodies.length === 0 ? undefined : name;
  }

  #bodies(parts: readonly Part[]): string[] {
    const [first] = parts as readonly [Part, ...Part[]];
    const options = parts.length === 1 ? this.#document.pureChoice(first) : undefined;
    if (options !== undefined) return options.flatMap((option) => this.valueRule([option]) ?? []);
    let alternatives: Alternative[] = [[]];
    for (const part of parts) {
      const more = this.#document.alternatives(part);
      alternatives = alternatives.flatMap((left) => more.map((right) => [...left, ...right]));
      this.work.spend(alternatives.length * 10);
    }
    return alternatives.flatMap((alternative) => this.#alternativeBodies(alternative));
  }

  #alternativeBodies(alternative: Alternative): string[] {
    if (alternative.length === 0) return [valueRule(this.builder)];
    const types = typesOf(alternative);
    const enumerated = enumBody(this, alternative, types);
    if (enumerated !== undefined) return enumerated === "" ? [] : [enumerated];
    // An integer is a number: what is one already is not said twice.
    const distinct = types.has("number") ? [...types].filter((type) => type !== "integer") : [...types];
    return distinct.flatMap((type) => this.#typeBody(type, alternative) ?? []);
  }

  #typeBody(type: JsonType, parts: Alternative): string | undefined {
    const plain = !parts.some((part) => mentions(part, type));
    switch (type) {
      case "null":
        return nullRule(this.builder);
      case "boolean":
        return booleanRule(this.builder);
      case "integer":
      case "number":
        return numberBody(this, parts, type);
      case "string":
        return stringBody(this, parts);
      case "array":
        return plain ? arrayRule(this.builder) : this.#inside(() => arrayBody(this, parts));
      case "object":
        return plain ? objectRule(this.builder) : this.#inside(() => objectBody(this, parts));
    }
  }

  #inside(make: () => string | undefined): string | undefined {
    this.#depth += 1;
    const body = make();
    this.#depth -= 1;
    return body;
  }
}

/** The types that all parts allow; where none names any, the types that their keywords are about. */
function typesOf(parts: Alternative): ReadonlySet<JsonType> {
  let types: ReadonlySet<JsonType> | undefined;
  for (const part of parts) {
    const named = namedTypes(part);
    if (named !== undefined) types = types === undefined ? named : commonTypes(types, named);
  }
  if (types !== undefined) return types;
  const implied = parts.flatMap(impliedTypes);
  const values = parts.some(({ schema }) => schema.enum !== undefined || schema.const !== undefined);
  return new Set(implied.length === 0 || values ? jsonTypes : implied);
}

function commonTypes(a: ReadonlySet<JsonType>, b: ReadonlySet<JsonType>): ReadonlySet<JsonType> {
  const allows = (types: ReadonlySet<JsonType>, type: JsonType): boolean =>
    types.has(type) || (type === "integer" && types.has("number"));
  return new Set(jsonTypes.filter((type) => allows(a, type) && allows(b, type)));
}

/** The last name in the path, for whoever reads the grammar. */
function nameOf({ path }: Part): string {
  return /([A-Za-z][A-Za-z0-9_-]*)[^A-Za-z]*$/.exec(path)?.[1] ?? "value";
}
