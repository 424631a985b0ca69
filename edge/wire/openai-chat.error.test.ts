// Chat completion requests that are refused, each with the name of what is wrong.
import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ApiError, ERRORS } from "../errors.ts";
import { readChatCompletion } from "./openai-chat.ts";
import { CHAT_PARAMETERS } from "./openai-chat-parameters.ts";

const context = { requestId: "req_01ABC", now: 0, projectId: "prj_a", tenant: "prj_a/key_b" };
const user = { role: "user", content: "hi" };
const tool = (name: string) => ({ type: "function", function: { name } });

function refusal(body: Record<string, unknown>): ApiError {
  try {
    readChatCompletion({ model: "m", messages: [user], ...body }, context);
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("accepted");
}

describe("wrong types and ranges", () => {
  test.each<[string, unknown]>([
    ["model", undefined],
    ["model", ""],
    ["model", 3],
    ["messages", undefined],
    ["messages", []],
    ["messages", "hi"],
    ["messages", {}],
    ["stream", "yes"],
    ["max_tokens", 0],
    ["max_tokens", -1],
    ["max_tokens", 1.5],
    ["max_tokens", "12"],
    ["max_tokens", 1e12],
    ["max_completion_tokens", 0],
    ["temperature", 2.1],
    ["temperature", -0.1],
    ["temperature", "hot"],
    ["top_p", 1.1],
    ["top_p", -1],
    ["top_k", -2],
    ["min_p", 2],
    ["presence_penalty", 3],
    ["frequency_penalty", -3],
    ["repetition_penalty", 0],
    ["seed", 1.5],
    ["seed", 1e30],
    ["n", 0],
    ["n", 129],
    ["logprobs", 5],
    ["top_logprobs", 21],
    ["stop", 5],
    ["stop", ""],
    ["logit_bias", []],
    ["logit_bias", { abc: 1 }],
    ["reasoning_effort", "extreme"],
    ["thinking", true],
    ["tools", {}],
    ["tool_choice", "sometimes"],
    ["parallel_tool_calls", "no"],
    ["response_format", "json"],
    ["stream_options", []],
  ])("are refused: %s = %j", (name, value) => {
    const error = refusal({ [name]: value });
    expect(error.code).toBe("invalid_request");
    expect(error.param).toBe(name);
    expect(error.message).toContain(`\`${name}\``);
  });

  test.each<[Record<string, unknown>, string]>([
    [{ messages: [{ role: "wizard", content: "x" }] }, "messages[0].role"],
    [{ messages: [{ content: "x" }] }, "messages[0].role"],
    [{ messages: ["x"] }, "messages[0]"],
    [{ messages: [null] }, "messages[0]"],
    [{ messages: [{ role: "function", name: "f", content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "user" }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: null }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: [] }] }, "messages[0].content"],
    [{ messages: [user, { role: "user", content: [{ type: "text" }] }] }, "messages[1].content[0].text"],
    [{ messages: [{ role: "user", content: [{ text: "x" }] }] }, "messages[0].content[0].type"],
    [{ messages: [{ role: "assistant" }] }, "messages[0].content"],
    [{ messages: [{ role: "assistant", content: null, tool_calls: [] }] }, "messages[0].content"],
    [
      { messages: [{ role: "assistant", tool_calls: [{ id: "a", function: { name: "f", arguments: {} } }] }] },
      "messages[0].tool_calls[0].function.arguments",
    ],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id"],
    [{ messages: [user, { role: "tool", tool_call_id: "nope", content: "x" }] }, "messages[1].tool_call_id"],
    [{ messages: [{ role: "assistant", content: "x", prefix: true }, user] }, "messages[0].prefix"],
    [{ stop: ["a", ""] }, "stop[1]"],
    [{ stop: Array(17).fill("x") }, "stop"],
    [{ tools: [{ type: "function", function: { name: "no spaces" } }] }, "tools[0].function.name"],
    [{ tools: [{ type: "function" }] }, "tools[0].function"],
    [{ tools: [tool("f"), tool("f")] }, "tools[1].function.name"],
    [{ tools: [{ type: "function", function: { name: "f", parameters: "x" } }] }, "tools[0].function.parameters"],
    [{ tools: [tool("f")], tool_choice: { type: "function", function: { name: "g" } } }, "tool_choice"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ response_format: { type: "yaml" } }, "response_format.type"],
    [{ response_format: { type: "json_schema" } }, "response_format.json_schema"],
    [{ response_format: { type: "json_schema", json_schema: { schema: {} } } }, "response_format.json_schema.name"],
    [{ stream: true, stream_options: { include_usage: "yes" } }, "stream_options.include_usage"],
    [{ thinking: { type: "maybe" } }, "thinking.type"],
    [{ logit_bias: { "5": 101 } }, "logit_bias.5"],
  ])("are named by their path: %j", (body, param) => {
    const error = refusal(body);
    expect(error.code).toBe("invalid_request");
    expect(error.param).toBe(param);
  });

  test("say what was expected and what came", () => {
    expect(refusal({ temperature: "hot" }).message).toBe("`temperature` must be a number, not a string.");
    expect(refusal({ temperature: Number.POSITIVE_INFINITY }).message).toBe(
      "`temperature` must be a number, not a number beyond all bounds.",
    );
    expect(refusal({ max_tokens: 0 }).message).toBe("`max_tokens` must be at least 1.");
    expect(refusal({ messages: [] }).message).toBe("`messages` must have at least 1 entry.");
    expect(refusal({ messages: undefined }).message).toBe("`messages` is required.");
    expect(refusal({ stop: 5 }).message).toBe("`stop` must be a string or an array, not a number.");
  });
});

describe("combinations that contradict themselves", () => {
  test.each<[Record<string, unknown>, string]>([
    [{ max_tokens: 5, max_completion_tokens: 6 }, "max_tokens"],
    [{ stream_options: { include_usage: true } }, "stream_options"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ reasoning_effort: "none", thinking: { type: "enabled" } }, "reasoning_effort"],
  ])("are refused: %j", (body, param) => {
    expect(refusal(body)).toMatchObject({ code: "invalid_request", param });
  });
});

describe("text that is no Unicode", () => {
  test.each<[Record<string, unknown>, string]>([
    [{ messages: [{ role: "user", content: "\ud800" }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: [{ type: "text", text: "a\udfff" }] }] }, "messages[0].content[0].text"],
    [{ stop: "\ud800" }, "stop"],
    [{ model: "\udc00" }, "model"],
  ])("is refused, not replaced: %#", (body, param) => {
    expect(refusal(body)).toMatchObject({ code: "invalid_request", param });
  });
});

describe("parameters that would change the answer and are not supported", () => {
  test.each<[string, unknown]>([
    ["audio", { voice: "x" }],
    ["modalities", ["text", "audio"]],
    ["functions", [{ name: "f" }]],
    ["function_call", "auto"],
    ["prediction", { type: "content", content: "x" }],
    ["web_search_options", {}],
    ["moderation", { model: "m" }],
    ["store", true],
    ["service_tier", "priority"],
    ["service_tier", 5],
    ["verbosity", "low"],
  ])("are refused by name: %s", (name, value) => {
    expect(refusal({ [name]: value })).toMatchObject({ code: "unsupported_parameter", param: name });
  });

  test.each<[Record<string, unknown>, string]>([
    [
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      "messages[0].content[0].type",
    ],
    [
      { messages: [{ role: "user", content: [{ type: "input_audio", input_audio: {} }] }] },
      "messages[0].content[0].type",
    ],
    [{ tools: [{ type: "custom", custom: { name: "x" } }] }, "tools[0].type"],
  ])("are refused by path: %j", (body, param) => {
    expect(refusal(body)).toMatchObject({ code: "unsupported_parameter", param });
  });
});

describe("any value in any place", () => {
  const oddities: unknown[] = [
    ...[
      true,
      false,
      0,
      -1,
      1.5,
      1e308,
      -1e308,
      5e-324,
      2 ** 53,
      2 ** 63,
      "",
      "x",
      "\ud800",
      "\u0000",
      [],
      [[]],
      [null],
      {},
    ],
    { __proto__: null, type: "function" },
    JSON.parse('{"__proto__":{"type":"text"}}'),
    { type: "json_schema", json_schema: { name: "x", schema: { "\ud800": "\udfff" } } },
    [{ role: "user", content: "x" }, null],
    [{ role: "assistant", content: [], tool_calls: {} }],
    [{ role: "toString", content: "x" }],
    { constructor: 1 },
  ];

  test.each(Object.keys(CHAT_PARAMETERS))(
    "is read into what the contract can carry, or refused with a 4xx: %s",
    (name) => {
      for (const value of oddities) {
        const body = { model: "m", messages: [user], stream: true, tools: [tool("f")], [name]: value };
        try {
          const { request } = readChatCompletion(body, context);
          expect(toBinary(GenerateRequestSchema, request).byteLength).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError);
          expect(ERRORS[(error as ApiError).code].status).toBe(400);
          expect((error as ApiError).param).toContain(name);
        }
      }
    },
  );
});
