// Schemas that are refused, each with the path of the part at fault, and quickly whatever they were made for.
import { describe, expect, test } from "vitest";
import { Code } from "../node-error.ts";
import { processorMs, refusalOf, schemaGrammar, textGrammar } from "./testing/compiled.ts";

const root = "constraint.json_schema.schema_json";

/** It takes a tenth of this on a machine of today. */
const processorMsMax = 2_000;

function refusal(schema: unknown) {
  return refusalOf(() => schemaGrammar(schema));
}

describe("outside of the subset", () => {
  test.each<[unknown, string]>([
    [{ not: {} }, ".not"],
    [{ type: "object", properties: { x: { if: {}, else: {} } } }, ".properties.x.if"],
    [{ patternProperties: { a: {} } }, ".patternProperties"],
    [{ propertyNames: { maxLength: 3 } }, ".propertyNames"],
    [{ dependentRequired: {} }, ".dependentRequired"],
    [{ type: "array", contains: {} }, ".contains"],
    [{ type: "array", uniqueItems: true }, ".uniqueItems"],
    [{ unevaluatedProperties: {} }, ".unevaluatedProperties"],
    [{ type: "string", format: "regex" }, ".format"],
    [{ type: "string", pattern: "(?=x)y" }, ".pattern"],
    [{ type: "string", pattern: "\\bx" }, ".pattern"],
    [{ type: "number", multipleOf: 0.1 }, ".multipleOf"],
    [{ $ref: "https://example.com/schema" }, ".$ref"],
    [{ $ref: "#anchor" }, ".$ref"],
    [{ type: "object", properties: { a: { $id: "b" } } }, ".properties.a.$id"],
    [{ type: "string", minLenght: 3 }, ".minLenght"],
    [{ properties: { a: {}, b: {} }, minProperties: 1 }, ".minProperties"],
    [{ properties: { a: {}, b: {} }, maxProperties: 1 }, ".maxProperties"],
    [{ enum: [{ a: 1 }], properties: { a: {} } }, ""],
    [{ $defs: { d: { anyOf: [{}, { not: {} }] } }, items: { $ref: "#/$defs/d" } }, ".$defs.d.anyOf[1].not"],
    [{ properties: { "odd name": { not: {} } } }, '.properties["odd name"].not'],
  ])("is refused by its path: %j", (schema, path) => {
    expect(refusal(schema)).toMatchObject({ code: Code.INVALID_ARGUMENT, param: root + path });
    expect(refusal(schema).message).toContain(root + path);
  });
});

describe("no schema", () => {
  test.each<[unknown, string]>([
    [3, ""],
    [[], ""],
    [null, ""],
    [{ type: "text" }, ".type"],
    [{ type: [] }, ".type"],
    [{ type: ["string", 3] }, ".type"],
    [{ properties: [] }, ".properties"],
    [{ properties: { a: 3 } }, ".properties.a"],
    [{ required: "a" }, ".required"],
    [{ type: "object", required: [1] }, ".required"],
    [{ type: "array", items: 3 }, ".items"],
    [{ prefixItems: {} }, ".prefixItems"],
    [{ minItems: -1 }, ".minItems"],
    [{ maxLength: 1.5 }, ".maxLength"],
    [{ minimum: "1" }, ".minimum"],
    [{ multipleOf: 0 }, ".multipleOf"],
    [{ enum: [] }, ".enum"],
    [{ enum: "a" }, ".enum"],
    [{ anyOf: [] }, ".anyOf"],
    [{ anyOf: {} }, ".anyOf"],
    [{ allOf: [3] }, ".allOf[0]"],
    [{ $ref: 3 }, ".$ref"],
    [{ $ref: "#/$defs/none" }, ".$ref"],
    [{ type: "string", pattern: "(" }, ".pattern"],
    [{ type: "string", pattern: 3 }, ".pattern"],
  ])("is refused by its path: %j", (schema, path) => {
    expect(refusal(schema)).toMatchObject({ code: Code.INVALID_ARGUMENT, param: root + path });
  });

  test.each(["", "{", "nonsense", '{"type":"object"}}'])("text that is no JSON is refused: %j", (text) => {
    expect(refusalOf(() => textGrammar("jsonSchema", text))).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      param: root,
    });
  });
});

describe("a schema that allows nothing, or nothing that ends", () => {
  const loop = { type: "object", properties: { next: { $ref: "#" } }, required: ["next"] };
  test.each<[unknown]>([
    [false],
    [{ type: "object", properties: { a: false }, required: ["a"] }],
    [{ allOf: [{ type: "string" }, { type: "integer" }] }],
    [{ type: "integer", minimum: 3, maximum: 2 }],
    [{ type: "integer", exclusiveMinimum: 1, exclusiveMaximum: 2 }],
    [{ type: "number", minimum: 1e300 }],
    [{ type: "string", minLength: 3, maxLength: 2 }],
    [{ type: "string", pattern: "^a{5}$", maxLength: 4 }],
    [{ type: "string", format: "uuid", maxLength: 10 }],
    [{ allOf: [{ enum: [1, 2] }, { const: 3 }] }],
    [{ type: "string", enum: [1] }],
    [{ type: "array", minItems: 3, maxItems: 2 }],
    [{ type: "array", items: false, minItems: 1 }],
    [{ anyOf: [false, { type: "string", const: 1 }] }],
    [loop],
    [{ $ref: "#" }],
    [{ anyOf: [{ $ref: "#" }, { type: "null" }] }],
    [{ $defs: { a: { allOf: [{ $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" }],
  ])("is refused: %j", (schema) => {
    expect(refusal(schema).code).toBe(Code.INVALID_ARGUMENT);
  });
});

describe("a schema made to explode", () => {
  const chain = (levels: number, link: (next: object) => object, last: object): object => {
    const $defs: Record<string, object> = { [`d${levels}`]: last };
    for (let i = 0; i < levels; i++) $defs[`d${i}`] = link({ $ref: `#/$defs/d${i + 1}` });
    return { $defs, $ref: "#/$defs/d0" };
  };
  let nested: object = {};
  for (let i = 0; i < 500; i++) nested = { anyOf: [nested, { type: "string" }] };
  let deep: object = {};
  for (let i = 0; i < 500; i++) deep = { type: "array", items: deep };
  let combined: object = {};
  for (let i = 0; i < 500; i++) combined = { allOf: [combined, { type: "string" }] };

  test.each<[string, unknown]>([
    ["items without number", { type: "array", maxItems: 1e9 }],
    ["characters without number", { type: "string", maxLength: 1e15 }],
    ["doubling by allOf", chain(40, (next) => ({ allOf: [next, next], anyOf: [{}, {}] }), { type: "string" })],
    ["doubling by allOf alone", chain(30, (next) => ({ allOf: [next, next] }), { type: "string" })],
    ["doubling by allOf beside a reference", chain(40, (next) => ({ ...next, allOf: [next] }), { type: "string" })],
    [
      "doubling by allOf of choices that come to nothing",
      chain(30, (next) => ({ allOf: [{ anyOf: [next, { type: "null" }] }, { anyOf: [next, false] }] }), { const: 1 }),
    ],
    ["doubling by anyOf", chain(40, (next) => ({ allOf: [{ anyOf: [next, next] }, {}] }), { type: "string" })],
    ["anyOf in anyOf", nested],
    ["array in array", deep],
    ["allOf in allOf", combined],
    ["values without number", { enum: Array.from({ length: 5001 }, (_, i) => i) }],
    [
      "properties without number",
      { properties: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`p${i}`, {}])) },
    ],
    ["a pattern of many states", { type: "string", pattern: "^[ab]*a[ab]{20}$" }],
    ["a pattern with a length", { type: "string", pattern: "^(a|b|ab)*c.*d", maxLength: 3000 }],
    ["a long pattern", { type: "string", pattern: "(a|b)?".repeat(5000) }],
  ])("is refused in a moment: %s", (_name, schema) => {
    const ms = processorMs(() => expect(refusal(schema).code).toBe(Code.INVALID_ARGUMENT));
    expect(ms).toBeLessThan(processorMsMax);
  });

  test("is refused when it is a hundred thousand levels deep", () => {
    for (const [open, close] of [
      ['{"const":[', "]}"],
      ['{"items":', "}"],
      ['{"anyOf":[', "]}"],
    ] as const) {
      const text = `${open.repeat(20_000)}1${close.repeat(20_000)}`;
      expect(refusalOf(() => textGrammar("jsonSchema", text)).code).toBe(Code.INVALID_ARGUMENT);
    }
    const value = `{"const":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    expect(refusalOf(() => textGrammar("jsonSchema", value)).code).toBe(Code.INVALID_ARGUMENT);
  });

  test.each([
    [["x", "y"], ["x"]],
    [["x", "y"], []],
    [["y", "x"], []],
  ])("is refused when ever more readings of a document stay open: %j", (names, required) => {
    const either = { anyOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }, { type: "null" }] };
    const branch = (type: string) => {
      const properties: Record<string, object> = { x: either, y: { type } };
      return {
        type: "object",
        properties: Object.fromEntries(names.map((name) => [name, properties[name]])),
        required,
      };
    };
    const { message } = refusal({ $defs: { a: branch("string"), b: branch("number") }, ...either });
    expect(message).toContain("too ambiguous");
  });

  test("but one whose parts come again and again is compiled once a part", () => {
    const twice = (next: object) => ({ type: "object", properties: { a: next, b: next }, required: ["a"] });
    expect(schemaGrammar(chain(40, twice, { type: "string" })).length).toBeLessThan(20_000);
  });
});
