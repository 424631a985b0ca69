// The soak's reading of JSON Schema finds what does not fit, and passes what does.
import { expect, test } from "vitest";
import { faultOf, type Schema } from "./schema-check.ts";

const person: Schema = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 3 },
    age: { type: "integer", minimum: 0, maximum: 9 },
    mood: { enum: ["good", "bad", null] },
    friend: { anyOf: [{ $ref: "#/$defs/friend" }, { type: "null" }] },
    tags: { type: "array", items: { type: "string", pattern: "^[a-c]+$" }, minItems: 1, maxItems: 2 },
    kind: { const: "person" },
  },
  required: ["name", "age"],
  additionalProperties: false,
  $defs: { friend: { type: "object", properties: { name: { type: "string" } }, required: ["name"] } },
};

test.each([
  [{ name: "a", age: 3 }],
  [{ name: "äöü", age: 0, mood: null, friend: null, tags: ["abc", "a"], kind: "person" }],
  [{ name: "a", age: 9, friend: { name: "b", more: 1 } }],
])("%j fits", (value) => {
  expect(faultOf(person, value)).toBeUndefined();
});

test.each([
  [[], "is no object"],
  [{ name: "a" }, "lacks age"],
  [{ name: "", age: 3 }, ".name is too short"],
  [{ name: "long", age: 3 }, ".name is too long"],
  [{ name: "a", age: 1.5 }, ".age is no integer"],
  [{ name: "a", age: 10 }, ".age is more than 9"],
  [{ name: "a", age: -1 }, ".age is less than 0"],
  [{ name: "a", age: 1, mood: "so-so" }, ".mood is not in the enum"],
  [{ name: "a", age: 1, friend: {} }, ".friend fits none of anyOf"],
  [{ name: "a", age: 1, tags: [] }, ".tags has too few items"],
  [{ name: "a", age: 1, tags: ["a", "b", "c"] }, ".tags has too many items"],
  [{ name: "a", age: 1, tags: ["a", "d"] }, ".tags[1] does not match its pattern"],
  [{ name: "a", age: 1, kind: "dog" }, ".kind is not the constant"],
  [{ name: "a", age: 1, more: true }, "has more, which is not allowed"],
])("%j does not: %s", (value, fault) => {
  expect(faultOf(person, value)).toBe(fault);
});

test("values beside the named ones are held to the schema for them", () => {
  const counts: Schema = { type: "object", additionalProperties: { type: "integer" } };
  expect(faultOf(counts, { a: 1 })).toBeUndefined();
  expect(faultOf(counts, { a: "1" })).toBe(".a is no integer");
});

test("a keyword that is not known is told, never passed over", () => {
  expect(() => faultOf({ type: "string", format: "date" }, "x")).toThrow("does not know the keyword format");
});
