// Makes JSON Schemas that differ from each other and whose documents are short.
import type { Random } from "./random.ts";
import type { Schema } from "./schema-check.ts";

const words = ["red", "green", "blue", "north", "south", "one", "two", "yes", "no", "a b", "ä", '"q"', "{x}"];
const patterns = ["^[a-z]{1,8}$", "^[A-Z][a-z]{0,6}$", "^\\d{4}-\\d{2}$", "^(ab|cd){1,3}$", "^#[0-9a-f]{6}$"];
const depthMax = 2;

type Maker = (random: Random) => Schema;

const leaves: readonly Maker[] = [
  () => ({ type: "boolean" }),
  () => ({ type: "null" }),
  (random) => ({ type: "integer", minimum: random.integer(-20, 0), maximum: random.integer(1, 2000) }),
  (random) => ({ type: "number", minimum: 0, maximum: random.integer(1, 100) }),
  (random) => ({ type: "string", maxLength: random.integer(1, 12) }),
  (random) => ({ type: "string", minLength: 1, maxLength: random.integer(2, 12) }),
  (random) => ({ type: "string", pattern: random.pick(patterns) }),
  (random) => ({
    enum: [random.pick(words), random.integer(0, 99), null, `${random.pick(words)} ${random.integer(0, 9)}`],
  }),
  (random) => ({ const: random.pick(words) }),
  (random) => ({ type: ["string", "null"], maxLength: random.integer(1, 8) }),
];

const leaf: Maker = (random) => random.pick(leaves)(random);

function arrayOf(random: Random, depth: number): Schema {
  const minItems = random.integer(0, 2);
  return { type: "array", items: part(random, depth + 1), minItems, maxItems: minItems + random.integer(0, 2) };
}

function objectOf(random: Random, depth: number): Schema {
  const count = random.integer(1, depth === 0 ? 4 : 2);
  const names = Array.from({ length: count }, (_, index) => `${random.pick(["id", "name", "size", "kind"])}_${index}`);
  return {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name, part(random, depth + 1)])),
    required: random.chance(0.7) ? names : names.slice(0, 1),
    additionalProperties: false,
  };
}

function part(random: Random, depth: number): Schema {
  if (depth >= depthMax || random.chance(0.6)) return leaf(random);
  if (random.chance(0.2)) return { anyOf: [leaf(random), objectOf(random, depth)] };
  return random.chance(0.5) ? arrayOf(random, depth) : objectOf(random, depth);
}

/** The schema of an object, with a definition that is referred to now and then. */
export function makeSchema(random: Random): Schema {
  const schema = objectOf(random, 0);
  if (random.chance(0.75)) return schema;
  const properties = { ...(schema.properties as Record<string, Schema>), more: { $ref: "#/$defs/more" } };
  return { ...schema, properties, $defs: { more: objectOf(random, 1) } };
}
