// Every way to say what the output must be, as the one constraint of the contract.
import { describe, expect, test } from "vitest";
import { readChatCompletion } from "./openai-chat.ts";

const context = { requestId: "req_01ABC", now: 0, tenant: "prj_a", projectId: "" };
const schema = { type: "object", properties: { z: { type: "string" }, a: {} } };
const schemaJson = JSON.stringify(schema);

function read(body: Record<string, unknown>) {
  const messages = [{ role: "user", content: "hi" }];
  return readChatCompletion({ model: "m", messages, ...body }, context);
}

describe("an output form", () => {
  test.each<[Record<string, unknown>, string, unknown]>([
    [{ response_format: { type: "json_object" } }, "jsonObject", {}],
    [{ response_format: { type: "json_object", schema } }, "jsonSchema", { schemaJson }],
    [
      { response_format: { type: "json_schema", json_schema: { name: "n", schema, strict: true } } },
      "jsonSchema",
      { name: "n", schemaJson, strict: true },
    ],
    [{ response_format: { type: "json_schema", json_schema: { name: "n" } } }, "jsonSchema", { schemaJson: "{}" }],
    [{ json_schema: schema }, "jsonSchema", { schemaJson }],
    [{ guided_json: schema }, "jsonSchema", { schemaJson }],
    [{ guided_json: schemaJson }, "jsonSchema", { schemaJson }],
    [{ structured_outputs: { json: schema } }, "jsonSchema", { schemaJson }],
    [{ structured_outputs: { json_object: true } }, "jsonObject", {}],
  ])("is held to a schema or to any object, with the schema's own order: %j", (body, kind, value) => {
    const constraint = read(body).request.constraint?.kind;
    expect(constraint?.case).toBe(kind);
    expect(constraint?.value).toMatchObject(value as object);
  });

  test.each<[Record<string, unknown>, string, string]>([
    [{ guided_regex: "a+" }, "regex", "a+"],
    [{ structured_outputs: { regex: "a+" } }, "regex", "a+"],
    [{ guided_choice: ["yes", "no (1+1)"] }, "regex", "yes|no \\(1\\+1\\)"],
    [{ structured_outputs: { choice: ["a|b"] } }, "regex", "a\\|b"],
    [{ guided_grammar: 'root ::= "x"' }, "grammar", 'root ::= "x"'],
    [{ grammar: 'root ::= "x"' }, "grammar", 'root ::= "x"'],
    [{ structured_outputs: { grammar: 'root ::= "x"' } }, "grammar", 'root ::= "x"'],
  ])("is held to an expression or a grammar: %j", (body, kind, value) => {
    expect(read(body).request.constraint?.kind).toEqual({ case: kind, value });
  });

  test("asks for nothing when it is text, or off", () => {
    expect(read({ response_format: { type: "text" } }).request.constraint).toBeUndefined();
    expect(read({ structured_outputs: { json_object: false } }).request.constraint).toBeUndefined();
    expect(read({ response_format: { type: "text" }, guided_regex: "a" }).request.constraint?.kind.case).toBe("regex");
  });
});

describe("a part of a constraint that the node blames", () => {
  const inSchema = "constraint.json_schema.schema_json.properties.x.anyOf[1]";
  test.each<[Record<string, unknown>, string, string]>([
    [
      { response_format: { type: "json_schema", json_schema: { name: "n", schema } } },
      inSchema,
      "response_format.json_schema.schema.properties.x.anyOf[1]",
    ],
    [{ response_format: { type: "json_object", schema } }, inSchema, "response_format.schema.properties.x.anyOf[1]"],
    [{ guided_json: schema }, inSchema, "guided_json.properties.x.anyOf[1]"],
    [{ json_schema: schema }, inSchema, "json_schema.properties.x.anyOf[1]"],
    [{ structured_outputs: { json: schema } }, inSchema, "structured_outputs.json.properties.x.anyOf[1]"],
    [{ guided_regex: "a" }, "constraint.regex", "guided_regex"],
    [{ guided_choice: ["a"] }, "constraint.regex", "guided_choice"],
    [{ grammar: "a" }, "constraint.grammar", "grammar"],
    [{ structured_outputs: { grammar: "a" } }, "constraint.grammar", "structured_outputs.grammar"],
    [{ response_format: { type: "json_object" } }, "constraint", "response_format"],
    [{ guided_json: schema }, "constraint", "guided_json"],
    [{ guided_json: schema }, "stopping.max_tokens", "max_tokens"],
  ])("is named where the client wrote it (%j, %s)", (body, path, param) => {
    expect(read({ max_tokens: 4, ...body }).paramOf(path)).toBe(param);
  });
});
