// What a chat completion request becomes in the contract.
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  GenerateEventSchema,
  Priority,
  Thinking_Effort,
  Thinking_Mode,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role, ToolChoice_Mode } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { readChatCompletion } from "./openai-chat.ts";

const context = { requestId: "req_01ABC", now: 1_700_000_000_500, projectId: "prj_a", tenant: "prj_a/key_b" };
const user = { role: "user", content: "hi" };

function read(body: Record<string, unknown>) {
  return readChatCompletion({ model: "m", messages: [user], ...body }, context);
}

function chatOf(body: Record<string, unknown>) {
  const { prompt } = read(body).request;
  if (prompt?.form.case !== "chat") throw new Error("not a chat");
  return prompt.form.value;
}

describe("a minimal request", () => {
  test("names the model, the tenant and the request, and leaves the model's defaults alone", () => {
    const { request, stream, ignored } = read({});
    expect(request).toMatchObject({ requestId: "req_01ABC", model: "m", tenant: "prj_a/key_b", choiceCount: 1 });
    expect(request.priority).toBe(Priority.INTERACTIVE);
    expect(request.prefixCache?.salt).toBe("prj_a");
    expect(request.sampling?.temperature).toBeUndefined();
    expect(request.sampling?.seed).toBeUndefined();
    expect(request.stopping?.maxTokens).toBeUndefined();
    expect(request.constraint).toBeUndefined();
    expect(request.thinking).toBeUndefined();
    expect(request.logprobs).toBeUndefined();
    expect(stream).toBe(false);
    expect(ignored).toEqual([]);
  });

  test("takes null for absent in every parameter, as OpenAI does", () => {
    const nulls = {
      temperature: null,
      stop: null,
      tools: null,
      audio: null,
      functions: null,
      stream_options: null,
      n: null,
      stream: null,
      response_format: null,
      store: null,
    };
    expect(read(nulls).request).toEqual(read({}).request);
  });
});

describe("sampling", () => {
  test("carries every parameter over as it is", () => {
    const { request } = read({
      temperature: 0,
      top_p: 0.5,
      top_k: 40,
      min_p: 0.125,
      typical_p: 0.75,
      presence_penalty: -2,
      frequency_penalty: 2,
      repetition_penalty: 1.25,
      logit_bias: { "50256": -100, "7": 1 },
    });
    expect(request.sampling).toMatchObject({
      temperature: 0,
      topP: 0.5,
      topK: 40,
      minP: 0.125,
      typicalP: 0.75,
      presencePenalty: -2,
      frequencyPenalty: 2,
      repetitionPenalty: 1.25,
    });
    expect(request.sampling?.logitBias).toMatchObject([
      { tokenId: 7, bias: 1 },
      { tokenId: 50256, bias: -100 },
    ]);
  });

  test("wraps a negative seed into the contract's unsigned 64 bits, so that seeds stay distinct", () => {
    expect(read({ seed: 42 }).request.sampling?.seed).toBe(42n);
    expect(read({ seed: -1 }).request.sampling?.seed).toBe(2n ** 64n - 1n);
  });

  test("takes top_p 0 for the likeliest token alone and top_k -1 for all tokens", () => {
    const topP = read({ top_p: 0 }).request.sampling?.topP ?? 0;
    expect(topP).toBeGreaterThan(0);
    expect(topP).toBeLessThan(1e-6);
    expect(read({ top_k: -1 }).request.sampling?.topK).toBe(0);
  });
});

describe("stopping", () => {
  test("takes either name of the output limit, and both when they agree", () => {
    expect(read({ max_tokens: 5 }).request.stopping?.maxTokens).toBe(5);
    expect(read({ max_completion_tokens: 6 }).request.stopping?.maxTokens).toBe(6);
    expect(read({ max_tokens: 7, max_completion_tokens: 7 }).request.stopping?.maxTokens).toBe(7);
  });

  test("takes one stop string or several", () => {
    expect(read({ stop: "END" }).request.stopping?.stopStrings).toEqual(["END"]);
    expect(read({ stop: ["a", "b"] }).request.stopping?.stopStrings).toEqual(["a", "b"]);
    expect(read({ stop: [] }).request.stopping?.stopStrings).toEqual([]);
    expect(read({}).request.deterministic).toBe(false);
    expect(read({ deterministic: true }).request.deterministic).toBe(true);
    const { stopping } = read({ stop_token_ids: [2], min_tokens: 3, ignore_eos: true }).request;
    expect(stopping).toMatchObject({ stopTokenIds: [2], minTokens: 3, ignoreEos: true });
  });
});

describe("messages", () => {
  test("keep their order, roles, names, calls and results", () => {
    const { messages } = chatOf({
      messages: [
        { role: "system", content: "s" },
        { role: "developer", content: "d" },
        { role: "user", content: "u", name: "ann" },
        {
          role: "assistant",
          content: null,
          reasoning_content: "because",
          tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
        },
        { role: "tool", tool_call_id: "call_1", content: "2" },
      ],
    });
    expect(messages).toMatchObject([
      { role: Role.SYSTEM, content: "s" },
      { role: Role.DEVELOPER, content: "d" },
      { role: Role.USER, content: "u", name: "ann" },
      {
        role: Role.ASSISTANT,
        content: "",
        reasoning: "because",
        toolCalls: [{ id: "call_1", name: "f", arguments: '{"a":1}' }],
      },
      { role: Role.TOOL, toolCallId: "call_1", content: "2" },
    ]);
  });

  test("join text parts by line breaks and take a refusal for what was said", () => {
    const parts = [
      { type: "text", text: "one" },
      { type: "text", text: "two" },
    ];
    const { messages } = chatOf({
      messages: [
        { role: "user", content: parts },
        { role: "assistant", content: null, refusal: "no" },
        { role: "user", content: "" },
      ],
    });
    expect(messages.map(({ content }) => content)).toEqual(["one\ntwo", "no", ""]);
  });

  test("take back an assistant message just as this API wrote it", () => {
    const written = {
      role: "assistant",
      content: "x",
      refusal: null,
      reasoning_content: "r",
      annotations: [],
      audio: null,
    };
    expect(chatOf({ messages: [user, written, user] }).messages[1]).toMatchObject({ content: "x", reasoning: "r" });
  });

  test("go on from a last assistant message with prefix", () => {
    const { continueFinalMessage } = chatOf({ messages: [user, { role: "assistant", content: "The", prefix: true }] });
    expect(continueFinalMessage).toBe(true);
    expect(chatOf({ messages: [user, { role: "assistant", content: "The" }] }).continueFinalMessage).toBe(false);
  });
});

describe("tools", () => {
  const parameters = { type: "object", properties: { b: { type: "string" }, a: { type: "number" } } };
  const tools = [
    { type: "function", function: { name: "f", description: "does f", parameters, strict: true } },
    { type: "function", function: { name: "g" } },
  ];

  test("keep their schema's order of properties", () => {
    const chat = chatOf({ tools, parallel_tool_calls: false });
    expect(chat.tools).toMatchObject([
      { name: "f", description: "does f", parametersJson: JSON.stringify(parameters), strict: true },
      { name: "g", description: "", parametersJson: "", strict: false },
    ]);
    expect(chat.parallelToolCalls).toBe(false);
    expect(chat.toolChoice).toBeUndefined();
  });

  test.each([
    ["auto", { mode: ToolChoice_Mode.AUTO }],
    ["none", { mode: ToolChoice_Mode.NONE }],
    ["required", { mode: ToolChoice_Mode.REQUIRED }],
    [
      { type: "function", function: { name: "g" } },
      { mode: ToolChoice_Mode.NAMED, name: "g" },
    ],
    [
      {
        type: "allowed_tools",
        allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "f" } }] },
      },
      { mode: ToolChoice_Mode.REQUIRED, allowedNames: ["f"] },
    ],
  ])("are chosen by %j", (tool_choice, expected) => {
    expect(chatOf({ tools, tool_choice }).toolChoice).toMatchObject(expected);
  });

  test("may be absent under a choice that then means nothing", () => {
    expect(chatOf({ tools: [], tool_choice: "auto" }).toolChoice).toBeUndefined();
  });
});

describe("output form and thinking", () => {
  test("hold the output to a JSON object or a schema, and to nothing for text", () => {
    expect(read({ response_format: { type: "text" } }).request.constraint).toBeUndefined();
    expect(read({ response_format: { type: "json_object" } }).request.constraint?.kind.case).toBe("jsonObject");
    const schema = { type: "object", properties: { z: {}, a: {} } };
    const format = { type: "json_schema", json_schema: { name: "n", schema, strict: true } };
    expect(read({ response_format: format }).request.constraint?.kind).toMatchObject({
      case: "jsonSchema",
      value: { name: "n", schemaJson: JSON.stringify(schema), strict: true },
    });
  });

  test("ask for as many log-probabilities as were asked for", () => {
    expect(read({ logprobs: true, top_logprobs: 3 }).request.logprobs).toMatchObject({ output: true, top: 3 });
    expect(read({ logprobs: true }).request.logprobs).toMatchObject({ output: true, top: 0 });
    expect(read({ logprobs: false }).request.logprobs).toBeUndefined();
  });

  test.each([
    ["minimal", Thinking_Effort.LOW],
    ["medium", Thinking_Effort.MEDIUM],
    ["xhigh", Thinking_Effort.HIGH],
    ["max", Thinking_Effort.MAX],
  ])("map reasoning_effort %s", (reasoning_effort, effort) => {
    expect(read({ reasoning_effort }).request.thinking).toMatchObject({ effort, mode: Thinking_Mode.UNSPECIFIED });
  });

  test("turn thinking on and off", () => {
    expect(read({ reasoning_effort: "none" }).request.thinking?.mode).toBe(Thinking_Mode.DISABLED);
    expect(read({ thinking: { type: "disabled" } }).request.thinking?.mode).toBe(Thinking_Mode.DISABLED);
    const { thinking } = read({ thinking: { type: "enabled", budget_tokens: 9 } }).request;
    expect(thinking).toMatchObject({ mode: Thinking_Mode.ENABLED, budgetTokens: 9 });
  });
});

describe("the service tier", () => {
  test.each([
    ["flex", Priority.BATCH, "flex"],
    ["default", Priority.INTERACTIVE, "default"],
    ["auto", Priority.INTERACTIVE, "default"],
    [undefined, Priority.INTERACTIVE, undefined],
  ])("%s decides the queue class, and the answer names the one that was used", (tier, priority, named) => {
    const call = read(tier === undefined ? {} : { service_tier: tier });
    expect(call.request.priority).toBe(priority);
    const finished = create(GenerateEventSchema, { event: { case: "finished", value: {} } });
    const body = call.bodyWriter();
    body.event(finished);
    expect(JSON.parse(body.body()).service_tier).toBe(named);
    const [chunk = ""] = call.streamWriter().event(finished).split("\n\n");
    expect(JSON.parse(chunk.slice("data: ".length)).service_tier).toBe(named);
  });
});

describe("unknown and ignored names", () => {
  test("are accepted; the unknown ones are listed, the ignored ones are documented instead", () => {
    const body = { user: "u", metadata: { a: "b" }, store: false, modalities: ["text"], frob: 1 };
    expect(read({ ...body, __proto: 2 }).ignored).toEqual(["frob", "__proto"]);
  });

  test("may be names of Object's own members", () => {
    const body = JSON.parse('{"constructor":1,"toString":2,"__proto__":{"temperature":9}}');
    const { ignored, request } = read(body);
    expect(ignored).toEqual(expect.arrayContaining(["constructor", "toString"]));
    expect(request.sampling?.temperature).toBeUndefined();
  });
});
