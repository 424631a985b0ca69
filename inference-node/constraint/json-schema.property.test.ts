// Random schemas: each is refused with its path, or makes only documents that a validator takes and the engine too.
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect, test } from "vitest";
import { Code, NodeError } from "../node-error.ts";
import { schemaGrammar } from "./testing/compiled.ts";
import { engineJudge } from "./testing/engine-grammar.ts";
import { GbnfSampler, seededRandom } from "./testing/gbnf-sampler.ts";
import { randomSchema } from "./testing/random-schema.ts";

const schemas = 400;
const documents = 4;

function compiled(schema: unknown): string | undefined {
  try {
    return schemaGrammar(schema);
  } catch (thrown) {
    if (!(thrown instanceof NodeError) || thrown.code !== Code.INVALID_ARGUMENT) throw thrown;
    expect(thrown.param).toContain("constraint.json_schema.schema_json");
    return undefined;
  }
}

test("what a random schema makes is valid", async () => {
  const judge = await engineJudge();
  let taken = 0;
  for (let seed = 1; seed <= schemas; seed++) {
    const schema = randomSchema(seededRandom(seed));
    const grammar = compiled(schema);
    if (grammar === undefined) continue;
    taken += 1;
    const ajv = new Ajv2020({ strict: false });
    addFormats.default(ajv);
    const validate = ajv.compile(schema as object);
    const sampler = new GbnfSampler(grammar, seededRandom(seed));
    for (let i = 0; i < documents; i++) {
      const text = sampler.draw();
      const told = `${seed} ${JSON.stringify(schema)} made ${text} ${JSON.stringify(validate.errors)}`;
      expect(validate(JSON.parse(text)), told).toBe(true);
      expect(judge(grammar, text), told).toBe(true);
    }
  }
  // A test of schemas that are all refused would be none.
  expect(taken).toBeGreaterThan(schemas / 2);
}, 60_000);
