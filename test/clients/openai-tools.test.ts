// Tools through the stock OpenAI client on the default model, which has never heard of tools.
import OpenAI from "openai";
import type { ChatCompletionCreateParamsNonStreaming, ChatCompletionFunctionTool } from "openai/resources/chat";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
let client: OpenAI;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama" });
  client = new OpenAI({ apiKey: stack.apiKey, baseURL: `${stack.url}/v1`, maxRetries: 0 });
});

afterAll(() => stack?.stop());

const weather: ChatCompletionFunctionTool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string", maxLength: 40 },
        unit: { type: "string", enum: ["celsius", "fahrenheit"] },
      },
      required: ["city", "unit"],
    },
  },
};
const add: ChatCompletionFunctionTool = {
  type: "function",
  function: {
    name: "add",
    description: "Adds two numbers",
    parameters: {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "integer" } },
      required: ["a", "b"],
    },
  },
};

const question = { role: "user" as const, content: "What is the weather in Oslo?" };
const asked = (more: Partial<ChatCompletionCreateParamsNonStreaming> = {}): ChatCompletionCreateParamsNonStreaming => ({
  model: DEFAULT_MODEL,
  messages: [question],
  tools: [weather, add],
  tool_choice: "required",
  max_tokens: 400,
  ...more,
});

interface Call {
  id: string;
  name: string;
  arguments: string;
}

async function whole(body: ChatCompletionCreateParamsNonStreaming) {
  const { choices, usage } = await client.chat.completions.create(body);
  const [choice] = choices;
  const calls = (choice?.message.tool_calls ?? []).flatMap((call): Call[] =>
    call.type === "function" ? [{ id: call.id, ...call.function }] : [],
  );
  return { calls, content: choice?.message.content, reason: choice?.finish_reason, usage };
}

/** The same from a stream; a call's id and name must come once, with its first piece. */
async function streamed(body: ChatCompletionCreateParamsNonStreaming) {
  const calls: Call[] = [];
  let content = "";
  let reason: string | null = null;
  let pieces = 0;
  for await (const { choices } of await client.chat.completions.create({ ...body, stream: true })) {
    const [choice] = choices;
    content += choice?.delta.content ?? "";
    reason = choice?.finish_reason ?? reason;
    for (const piece of choice?.delta.tool_calls ?? []) {
      pieces += 1;
      const call = calls[piece.index];
      if (call !== undefined) expect([piece.id, piece.function?.name]).toEqual([undefined, undefined]);
      else calls.push({ id: piece.id ?? "", name: piece.function?.name ?? "", arguments: "" });
      const current = calls[piece.index] as Call;
      current.arguments += piece.function?.arguments ?? "";
    }
  }
  return { calls, content, reason, pieces };
}

function expectValid({ id, name, arguments: text }: Call): void {
  expect(id).toMatch(/^call_[0-9A-Za-z]{24}$/);
  const args = JSON.parse(text);
  if (name === "add") expect([typeof args.a, typeof args.b, Object.keys(args).length]).toEqual(["number", "number", 2]);
  else {
    expect(name).toBe("get_weather");
    expect(typeof args.city).toBe("string");
    expect(["celsius", "fahrenheit"]).toContain(args.unit);
    expect(Object.keys(args)).toHaveLength(2);
  }
}

describe("tool_choice", () => {
  test("required gives valid calls at temperature 1, as a whole and as a stream", async () => {
    for (const seed of [1, 2, 3, 4]) {
      const body = asked({ temperature: 1, seed, parallel_tool_calls: false });
      const one = await whole(body);
      expect([one.reason, one.content, one.calls.length]).toEqual(["tool_calls", null, 1]);
      one.calls.forEach(expectValid);
      const other = await streamed(body);
      expect([other.reason, other.content, other.calls.length]).toEqual(["tool_calls", "", 1]);
      other.calls.forEach(expectValid);
      expect(other.pieces).toBeGreaterThan(5);
    }
  });

  test("a named tool is called, once, whatever the question", async () => {
    const choice = { type: "function" as const, function: { name: "add" } };
    for (const run of [whole, streamed]) {
      const { calls, reason } = await run(asked({ tool_choice: choice, temperature: 1, seed: 5 }));
      expect([reason, calls.map(({ name }) => name)]).toEqual(["tool_calls", ["add"]]);
      calls.forEach(expectValid);
    }
  });

  test("allowed tools are the only ones that are called", async () => {
    const allowed = [{ type: "function", function: { name: "add" } }];
    const choice = { type: "allowed_tools" as const, allowed_tools: { mode: "required" as const, tools: allowed } };
    const { calls } = await whole(asked({ tool_choice: choice, temperature: 1, seed: 6, parallel_tool_calls: false }));
    expect(calls.map(({ name }) => name)).toEqual(["add"]);
  });

  test("none leaves the tools out", async () => {
    const plain = await whole({ model: DEFAULT_MODEL, messages: [question], temperature: 0, max_tokens: 20 });
    const none = await whole(asked({ tool_choice: "none", temperature: 0, max_tokens: 20 }));
    expect([none.calls, none.content]).toEqual([[], plain.content]);
    expect(none.usage?.prompt_tokens).toBe(plain.usage?.prompt_tokens);
  });

  test("a tool that is not there is refused by name", async () => {
    const choice = { type: "function" as const, function: { name: "rm" } };
    const refused = await client.chat.completions
      .create(asked({ tool_choice: choice }))
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 400, param: "tool_choice", type: "invalid_request_error" });
  });

  test("a cut call ends as length, with what came of it", async () => {
    const { calls, reason } = await whole(asked({ max_tokens: 12, temperature: 0 }));
    expect(reason).toBe("length");
    expect(calls.length).toBeLessThan(2);
  });

  test("a stop string ends no call", async () => {
    const { calls, reason } = await whole(asked({ stop: ["{", '"', "a"], temperature: 0, parallel_tool_calls: false }));
    expect(reason).toBe("tool_calls");
    calls.forEach(expectValid);
  });
});

describe("strict tools", () => {
  test("hold every call to the schema, whoever chose to call", async () => {
    const strict = { ...add, function: { ...add.function, strict: true } };
    const { calls, reason, content } = await whole(
      asked({ tools: [strict], tool_choice: "auto", temperature: 1, seed: 3 }),
    );
    calls.forEach(expectValid);
    expect(calls.length > 0 ? ["tool_calls"] : ["stop", "length"]).toContain(reason);
    if (calls.length === 0) expect(content?.trimStart().startsWith("{")).toBe(false);
  });

  test("with a schema that no grammar can hold are refused, by the path of the part", async () => {
    const parameters = { type: "object", properties: { a: { type: "string", not: { const: "b" } } } };
    const tool = { type: "function" as const, function: { name: "f", strict: true, parameters } };
    const refused = await client.chat.completions
      .create(asked({ tools: [tool] }))
      .catch((error: unknown) => error as InstanceType<typeof OpenAI.APIError>);
    expect(refused).toMatchObject({ status: 400, param: expect.stringMatching(/^tools\[0\]/) });
  });
});

test("a tool's result is part of the conversation", async () => {
  const { calls } = await whole(asked({ temperature: 0, parallel_tool_calls: false }));
  const [call] = calls as [Call];
  const assistant = {
    role: "assistant" as const,
    content: null,
    tool_calls: [{ id: call.id, type: "function" as const, function: { name: call.name, arguments: call.arguments } }],
  };
  const result = { role: "tool" as const, tool_call_id: call.id, content: "It is 5 degrees and raining in Oslo." };
  const body = asked({ messages: [question, assistant, result], tool_choice: "none", temperature: 0, max_tokens: 30 });
  const one = await whole(body);
  expect([one.calls, one.content]).toEqual([[], expect.stringMatching(/\w/)]);
  expect((await streamed(body)).content).toBe(one.content);
  // The result is in the prompt: without its words the prompt is shorter by them.
  const shorter = await whole({ ...body, messages: [question, assistant, { ...result, content: "." }] });
  expect(one.usage?.prompt_tokens).toBeGreaterThan((shorter.usage?.prompt_tokens ?? 0) + 5);
  // With the tools on offer again, another call or words come, and again the same as a stream.
  const again = await whole({ ...body, tool_choice: "auto", parallel_tool_calls: false });
  const stream = await streamed({ ...body, tool_choice: "auto", parallel_tool_calls: false });
  expect([stream.content, stream.reason]).toEqual([again.content ?? "", again.reason]);
  expect(stream.calls.map(({ arguments: text }) => text)).toEqual(again.calls.map(({ arguments: text }) => text));
});
