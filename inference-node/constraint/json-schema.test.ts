// Every construct of the subset: what a schema allows can be generated, what is generated is valid by another's judgement.
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { beforeAll, describe, expect, test } from "vitest";
import { schemaGrammar } from "./testing/compiled.ts";
import { engineJudge, type GrammarJudge } from "./testing/engine-grammar.ts";
import { GbnfSampler, seededRandom } from "./testing/gbnf-sampler.ts";

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
let judge: GrammarJudge;
beforeAll(async () => {
  judge = await engineJudge();
});

/** A schema with documents that must be possible, and documents that must not. */
type Case = [name: string, schema: unknown, possible: unknown[], impossible: unknown[]];

const node = {
  type: "object",
  properties: { v: { type: "integer" }, next: { $ref: "#/$defs/node" } },
  required: ["v"],
};
const person = {
  type: "object",
  title: "Person",
  description: "annotations hold nothing",
  properties: {
    name: { type: "string" },
    age: { type: "integer" },
    tags: { type: "array", items: { type: "string" } },
  },
  required: ["name", "age"],
};

const cases: Case[] = [
  ["any value", {}, [null, true, 3, -1.5e10, "x", [], {}, [1, [2]], { a: { b: null } }], []],
  ["true", true, [1, {}], []],
  ["null", { type: "null" }, [null], [0, "null"]],
  ["boolean", { type: "boolean" }, [true, false], ["true", 1]],
  ["integer", { type: "integer" }, [0, 7, -7, 123456789012345], [1.5, "1", 1e21]],
  ["number", { type: "number" }, [0, -0.5, 3, 12.25, 1e21, 1.5e-7], ["1", null]],
  ["string", { type: "string" }, ["", "a", 'quote " and \\', "Grüße 👋", "\n\t\b", "\u0001"], [1, null]],
  ["a list of types", { type: ["string", "null"] }, ["x", null], [1, true]],
  ["number beside integer", { type: ["integer", "number"] }, [1, 1.5], ["1"]],
  ["nullable", { type: "string", nullable: true }, ["x", null], [1]],
  [
    "an object",
    person,
    [
      { name: "a", age: 1 },
      { name: "a", age: 1, tags: ["x"] },
    ],
    [{ name: "a" }, { age: 1 }, {}, [], { name: "a", age: 1, extra: 1 }],
  ],
  ["an object's order", person, [{ name: "a", age: 1 }], [{ age: 1, name: "a" }]],
  ["an object of anything", { type: "object" }, [{}, { a: 1, b: [] }], [[], 1]],
  ["no further properties", { properties: { a: {} }, additionalProperties: false }, [{}, { a: 1 }], [{ b: 1 }]],
  ["nothing but {}", { type: "object", additionalProperties: false }, [{}], [{ a: 1 }]],
  [
    "further properties of a kind",
    { type: "object", properties: { a: { type: "string" } }, additionalProperties: { type: "integer" } },
    [{}, { a: "x" }, { b: 1 }, { a: "x", b: 1, c: 2 }, { aa: 1 }, { A: 3 }],
    [{ b: "x" }, { a: 1 }],
  ],
  ["a map", { type: "object", additionalProperties: { type: "boolean" } }, [{}, { x: true, "a b": false }], [{ x: 1 }]],
  [
    "a map of a size",
    { additionalProperties: {}, minProperties: 1, maxProperties: 2 },
    [{ a: 1 }, { a: 1, b: 2 }],
    [{}, { a: 1, b: 2, c: 3 }],
  ],
  ["a required property without a schema", { type: "object", required: ["x"] }, [{ x: [1] }], [{}]],
  [
    "odd property names",
    { properties: JSON.parse('{"a\\"b\\\\c":{},"é\\n":{},"__proto__":{"type":"null"}}'), required: ['a"b\\c', "é\n"] },
    [{ 'a"b\\c': 1, "é\n": 2 }],
    [{}],
  ],
  [
    "only optional properties",
    { properties: { a: {}, b: {}, c: {} }, additionalProperties: false },
    [{}, { b: 1 }, { a: 1, c: 2 }, { a: 1, b: 1, c: 1 }],
    [],
  ],
  ["a forbidden property", { type: "object", properties: { a: false, b: {} } }, [{}, { b: 1 }], [{ a: 1 }]],
  ["an array", { type: "array", items: { type: "integer" } }, [[], [1], [1, 2, 3]], [["a"], {}]],
  ["an array of anything", { type: "array" }, [[], [1, "a", {}]], [{}]],
  [
    "counted items",
    { items: { type: "integer" }, minItems: 2, maxItems: 4 },
    [
      [1, 2],
      [1, 2, 3, 4],
    ],
    [[1], [1, 2, 3, 4, 5]],
  ],
  ["no items", { type: "array", maxItems: 0 }, [[]], [[1]]],
  ["at least one item", { type: "array", items: {}, minItems: 1 }, [[1]], [[]]],
  [
    "a tuple",
    { prefixItems: [{ type: "integer" }, { type: "string" }], items: false },
    [[], [1], [1, "a"]],
    [["a"], [1, "a", 2]],
  ],
  [
    "a tuple that goes on",
    { prefixItems: [{ type: "integer" }], items: { type: "string" }, minItems: 2 },
    [
      [1, "a"],
      [1, "a", "b"],
    ],
    [[1], [1, 2]],
  ],
  ["a tuple in draft 7", { type: "array", items: [{ type: "integer" }], additionalItems: false }, [[], [1]], [[1, 2]]],
  ["a tuple that must be whole", { prefixItems: [{}, {}], minItems: 2, maxItems: 2 }, [[1, 2]], [[1]]],
  [
    "listed values",
    { enum: ["red", 'a"b', 3, null, [1], { k: "v" }, "re", ""] },
    ["red", 'a"b', 3, null, [1], { k: "v" }, "re", ""],
    ["gre", 4],
  ],
  ["listed values of a type", { type: "string", enum: ["a", 1, "b"] }, ["a", "b"], [1]],
  ["a constant", { const: { a: [1, "x"] } }, [{ a: [1, "x"] }], [{ a: [] }]],
  ["listed values within bounds", { enum: [1, 5, 9, "x"], minimum: 2, type: "integer" }, [5, 9], [1, "x"]],
  ["any of", { anyOf: [{ type: "integer" }, { type: "string", maxLength: 2 }] }, [1, "ab"], ["abc", null]],
  ["one of", { oneOf: [{ type: "boolean" }, { const: "x" }] }, [true, "x"], ["y"]],
  [
    "any of beside other keywords",
    {
      type: "object",
      properties: { a: { type: "integer" } },
      required: ["a"],
      anyOf: [{ required: ["b"] }, { properties: { c: { const: 1 } }, required: ["c"] }],
    },
    [
      { a: 1, b: 2 },
      { a: 1, c: 1 },
    ],
    [{ a: 1 }, { a: 1, c: 2 }],
  ],
  [
    "all of",
    {
      allOf: [
        { type: "object", properties: { a: { type: "string" } }, required: ["a"] },
        { properties: { b: { type: "integer" }, a: { minLength: 2 } }, required: ["b"] },
      ],
    },
    [{ a: "xy", b: 1 }],
    [{ a: "x", b: 1 }, { a: "xy" }],
  ],
  [
    "all of what closes",
    { allOf: [{ type: "object", properties: { a: {} }, additionalProperties: false }, { properties: { b: {} } }] },
    [{}, { a: 1 }],
    [{ b: 1 }],
  ],
  [
    "all of bounds",
    { allOf: [{ type: "integer", minimum: 3 }, { maximum: 7 }, { exclusiveMaximum: 7 }] },
    [3, 6],
    [2, 7],
  ],
  ["all of types", { allOf: [{ type: ["string", "integer"] }, { type: ["integer", "null"] }] }, [1], ["x", null]],
  [
    "a reference",
    { $defs: { s: { type: "string" } }, type: "object", properties: { a: { $ref: "#/$defs/s" } }, required: ["a"] },
    [{ a: "x" }],
    [{ a: 1 }],
  ],
  [
    "a reference with more beside it",
    { $defs: { s: { type: "string" } }, $ref: "#/$defs/s", maxLength: 1 },
    ["x"],
    ["xy", 1],
  ],
  [
    "a reference by a pointer's escapes",
    { definitions: { "a/b~c d": { type: "null" } }, $ref: "#/definitions/a~1b~0c%20d" },
    [null],
    [1],
  ],
  [
    "recursion",
    { $defs: { node }, $ref: "#/$defs/node" },
    [{ v: 1 }, { v: 1, next: { v: 2, next: { v: 3 } } }],
    [{ next: { v: 1 } }],
  ],
  ["recursion through the root", { type: "array", items: { $ref: "#" } }, [[], [[]], [[[], []], []]], [[1]]],
  [
    "recursion through all of",
    {
      $defs: {
        n: {
          allOf: [
            { type: "object", properties: { c: { $ref: "#/$defs/n" } } },
            { properties: { c: { $ref: "#/$defs/n" } } },
          ],
        },
      },
      $ref: "#/$defs/n",
    },
    [{}, { c: { c: {} } }],
    [{ c: 1 }],
  ],
  ["a length", { type: "string", minLength: 2, maxLength: 3 }, ["ab", "abc", "👋👋", '""'], ["a", "abcd"]],
  ["a long length", { type: "string", maxLength: 2500 }, ["", "x".repeat(2500)], ["x".repeat(2501)]],
  ["a long least length", { type: "string", minLength: 2001 }, ["x".repeat(2001)], ["x".repeat(2000)]],
  ["a pattern", { type: "string", pattern: "^[a-c]+$" }, ["abc"], ["", "abd"]],
  ["a pattern anywhere", { pattern: "b" }, ["b", "abc", "\nb"], ["ac", ""]],
  [
    "a pattern and a length",
    { pattern: "^a|z$", minLength: 2, maxLength: 3 },
    ["ab", "yz", "xyz"],
    ["a", "bb", "abcd"],
  ],
  [
    "patterns together",
    { allOf: [{ pattern: "^.*a" }, { pattern: "b.*$" }, { maxLength: 4 }] },
    ["ab", "xbax"],
    ["a", "b"],
  ],
  ["a pattern with what JSON escapes", { pattern: '^["\\\\\\n]+$' }, ['"', "\\", '\n"'], ["a"]],
  ["a pattern of a control character", { pattern: "^\\u0001$" }, ["\u0001"], ["x"]],
  [
    "bounds of an integer",
    { type: "integer", minimum: -12, maximum: 105 },
    [-12, -1, 0, 9, 99, 105],
    [-13, 106, 1000, 1.5],
  ],
  ["exclusive bounds", { type: "integer", exclusiveMinimum: 0, exclusiveMaximum: 10 }, [1, 9], [0, 10]],
  ["exclusive bounds of draft 4", { type: "integer", minimum: 0, exclusiveMinimum: true, maximum: 3 }, [1, 3], [0, 4]],
  ["fractional bounds of an integer", { type: "integer", minimum: 1.5, maximum: 3.2 }, [2, 3], [1, 4]],
  [
    "bounds of a number",
    { type: "number", minimum: -1.25, maximum: 0.5 },
    [-1.25, -1.2, -0.01, 0, 0.5, 0.49999999],
    [-1.26, 0.51, -2, 1],
  ],
  [
    "exclusive bounds of a number",
    { type: "number", exclusiveMinimum: 0.1, exclusiveMaximum: 0.3 },
    [0.11, 0.2, 0.29],
    [0.1, 0.3],
  ],
  ["a large least", { type: "number", minimum: 1e9 }, [1e9, 123456789012.5], [999999999]],
  ["multiples", { type: "integer", multipleOf: 7, minimum: 0, maximum: 100 }, [0, 7, 49, 98], [1, 8, 105]],
  ["multiples of a number", { type: "number", multipleOf: 5 }, [0, -5, 100], [1, 2.5]],
  ["int32", { type: "integer", format: "int32" }, [2147483647, -2147483648], [2147483648]],
  [
    "a date",
    { type: "string", format: "date" },
    ["2024-02-29", "1999-12-31"],
    ["2023-02-29", "2024-13-01", "2024-04-31"],
  ],
  ["a time", { format: "time" }, ["23:59:59Z", "01:02:03.5+05:30"], ["24:00:00Z", "01:02:03"]],
  ["a date and time", { format: "date-time" }, ["2024-02-29T23:59:59Z"], ["2024-02-29 23:59:59Z"]],
  ["a duration", { format: "duration" }, ["P3D", "PT1H30M", "P2W"], ["P", "PT"]],
  ["a uuid", { format: "uuid" }, ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
  ["an email", { format: "email" }, ["a.b@example.com"], ["a@b", "@example.com"]],
  ["a host", { format: "hostname" }, ["a.example.com"], ["-a", "a..b"]],
  ["an ipv4", { format: "ipv4" }, ["0.10.200.255"], ["256.1.1.1", "1.2.3"]],
  ["an ipv6", { format: "ipv6" }, ["2001:db8:0:0:0:0:0:1"], ["x::"]],
  ["a uri", { format: "uri" }, ["https://example.com/a/b?c=d"], ["example"]],
  ["a format with a length", { format: "email", maxLength: 12 }, ["a@bc.example"], ["abcdef@example.com"]],
];

describe("a schema", () => {
  test.each(cases)("allows what it says and nothing else: %s", (_name, schema, possible, impossible) => {
    const grammar = schemaGrammar(schema);
    for (const value of possible) expect(judge(grammar, JSON.stringify(value)), JSON.stringify(value)).toBe(true);
    for (const value of impossible) expect(judge(grammar, JSON.stringify(value)), JSON.stringify(value)).toBe(false);
  });

  test.each(cases)("makes only documents that a validator takes: %s", (_name, schema) => {
    const validate = ajv.compile(inDraft2020(schema) as object);
    const grammar = schemaGrammar(schema);
    const sampler = new GbnfSampler(grammar, seededRandom(7));
    for (let i = 0; i < 25; i++) {
      const text = sampler.draw();
      expect(judge(grammar, text), text).toBe(true);
      expect(validate(JSON.parse(text)), `${text} ${JSON.stringify(validate.errors)}`).toBe(true);
    }
  });
});

describe("a document", () => {
  test("may have space and line breaks between its tokens, but none before its first and none behind its last", () => {
    const grammar = schemaGrammar(person);
    const document = '{\n  "name": "a",\n  "age": 1,\n  "tags": [\n    "x", "y"\n  ]\n}';
    expect(judge(grammar, document)).toBe(true);
    for (const text of [` ${document}`, `${document} `, `${document}\n`]) expect(judge(grammar, text)).toBe(false);
    expect(judge(grammar, '{\n\n"name":"a","age":1}')).toBe(false);
    expect(judge(grammar, `{"name":"a","age":1,${" ".repeat(2)}"tags":[]}`)).toBe(false);
  });

  test("has no half surrogate pair and no unescaped control character in its strings", () => {
    const grammar = schemaGrammar({ type: "string" });
    for (const text of ['"\\ud83d\\udc4b"', '"\\u00e9"', '"\\/"']) expect(judge(grammar, text)).toBe(true);
    for (const text of ['"\\ud83d"', '"\\udc4b"', '"\\ud83dx"', '"\n"', '"\\x"', '"\\u12g4"']) {
      expect(judge(grammar, text)).toBe(false);
    }
  });
});

/** ajv reads only 2020-12; what drafts before it said otherwise is put into its words. */
function inDraft2020(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null) return schema;
  const { items, additionalItems, exclusiveMinimum, minimum, ...rest } = schema as Record<string, unknown>;
  if (Array.isArray(items)) return { ...rest, prefixItems: items, items: additionalItems };
  if (exclusiveMinimum === true) return { ...rest, exclusiveMinimum: minimum };
  return schema;
}
