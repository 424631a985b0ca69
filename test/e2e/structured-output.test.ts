// What the default model writes under a constraint is valid, whatever it knows: streamed, whole, and among others.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runStructured } from "../structured/run.ts";
import { chat } from "../support/chat.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama" });
});

afterAll(() => stack?.stop());

test("100 outputs of all forms at temperature 1 are valid, or say that they were cut", async () => {
  const { complete, cut, freeTexts, faults } = await runStructured(stack, 100, 8);
  expect(faults).toEqual([]);
  expect(complete + cut).toBe(100);
  expect(complete).toBeGreaterThan(70);
  expect(freeTexts).toBe(17);
}, 300_000);

describe("a constraint that can't be held", () => {
  const schema = { type: "object", properties: { x: { type: "string", pattern: "(?=a)b" } } };
  test.each<[object, string]>([
    [
      { response_format: { type: "json_schema", json_schema: { name: "n", schema } } },
      "response_format.json_schema.schema.properties.x.pattern",
    ],
    [{ guided_json: schema }, "guided_json.properties.x.pattern"],
    [{ response_format: { type: "json_object", schema } }, "response_format.schema.properties.x.pattern"],
    [{ guided_regex: "(" }, "guided_regex"],
    [{ guided_regex: "a".repeat(1_000_000) }, "guided_regex"],
    [{ guided_regex: "[ab]*a[ab]{30}" }, "guided_regex"],
    [{ grammar: "root ::= root" }, "grammar"],
    [{ grammar: 'root ::= a root "x" | "y"\na ::= b\nb ::= ""' }, "grammar"],
  ])("is a 400 that names where: %#", async (body, param) => {
    for (const stream of [false, true]) {
      const messages = [{ role: "user", content: "hi" }];
      const { status, text } = await chat(stack, { messages, stream, max_tokens: 8, ...body }).answer;
      expect(status).toBe(400);
      const { error } = JSON.parse(text);
      expect(error).toMatchObject({ type: "invalid_request_error", param });
      expect(error.message).toContain(param);
      expect(error.message).not.toContain("constraint.");
    }
  });
});
