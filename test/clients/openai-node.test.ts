// The stock OpenAI client for Node on the real stack, by base URL and key alone.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, scripted, untilSlots } from "../support/chat.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
let client: OpenAI;

beforeAll(async () => {
  // Two slots and no queue: a third request is refused as from a busy server.
  const env = { SLUICE_SEQUENCES: "2", SLUICE_QUEUE_DEPTH_MAX: "0" };
  stack = await startStack({ runtime: "scripted", env });
  client = new OpenAI({ apiKey: stack.apiKey, baseURL: `${stack.url}/v1` });
});

afterAll(() => stack?.stop());

const model = "scripted";
const TOOLS = [
  {
    type: "function" as const,
    function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  },
];

/** What a call is refused with, tried once. */
async function failure(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  );
}

const once = { maxRetries: 0 };

describe("chat", () => {
  test("answers as a whole, with usage and the request's id", async () => {
    const messages = scripted({ text: "Hello", usage: { prompt_tokens: 5, completion_tokens: 2, cached_tokens: 3 } });
    const completion = await client.chat.completions.create({ model, messages });
    expect(completion.object).toBe("chat.completion");
    expect(completion.choices[0]?.message).toMatchObject({ role: "assistant", content: "Hello", refusal: null });
    expect(completion.usage).toMatchObject({
      prompt_tokens: 5,
      completion_tokens: 2,
      total_tokens: 7,
      prompt_tokens_details: { cached_tokens: 3 },
    });
    expect(completion._request_id).toMatch(/^req_/);
  });

  test("answers when the base URL lacks /v1", async () => {
    const bare = new OpenAI({ apiKey: stack.apiKey, baseURL: stack.url });
    const completion = await bare.chat.completions.create({ model, messages: [{ role: "user", content: "echo" }] });
    expect(completion.choices[0]?.message.content).toBe("echo");
  });

  test("answers slowly as a whole: the spaces before it do no harm", async () => {
    const messages = scripted({ text: "slow", chunks: 3, delay_ms: 1_200 });
    const completion = await client.chat.completions.create({ model, messages });
    expect(completion.choices[0]?.message.content).toBe("slow");
  });

  test("gives reasoning apart from the text", async () => {
    const messages = scripted({ reasoning: "let me see", text: "42" });
    const { choices } = await client.chat.completions.create({ model, messages });
    expect(choices[0]?.message).toMatchObject({ content: "42", reasoning_content: "let me see" });
  });

  test("gives tool calls", async () => {
    const messages = scripted({ tool_calls: [{ name: "weather", arguments: { city: "Oslo" } }] });
    const { choices } = await client.chat.completions.create({ model, messages, tools: TOOLS });
    expect(choices[0]?.finish_reason).toBe("tool_calls");
    expect(choices[0]?.message.tool_calls).toEqual([
      { id: expect.any(String), type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } },
    ]);
  });

  test("takes the answer of a tool back", async () => {
    const first = await client.chat.completions.create({
      model,
      messages: scripted({ tool_calls: [{ name: "weather" }] }),
      tools: TOOLS,
    });
    const message = first.choices[0]?.message;
    if (message === undefined) throw new Error("no message");
    const { choices } = await client.chat.completions.create({
      model,
      tools: TOOLS,
      messages: [
        { role: "user", content: "what is the weather?" },
        message,
        { role: "tool", tool_call_id: message.tool_calls?.[0]?.id ?? "", content: "rain" },
      ],
    });
    expect(choices[0]?.message.content).toBe("what is the weather?");
  });
});

describe("a stream", () => {
  test("is iterated, with usage at its end", async () => {
    const messages = scripted({ text: "one two three", chunks: 3, prefill_ms: 600 });
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    const stream = await client.chat.completions.create({ model, messages, ...options });
    let text = "";
    const ends: unknown[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      if (chunk.choices[0]?.finish_reason) ends.push(chunk.choices[0].finish_reason);
      usage = chunk.usage;
    }
    expect([text, ends]).toEqual(["one two three", ["stop"]]);
    expect(usage?.total_tokens).toBeGreaterThan(3);
  });

  test("is gathered by the helper into what a whole answer is", async () => {
    const calls = [{ name: "weather", arguments: { city: "Oslo" } }, { name: "weather" }];
    const body = { model, messages: scripted({ text: "Let me look.", chunks: 4, tool_calls: calls }), tools: TOOLS };
    const deltas: string[] = [];
    const runner = client.chat.completions.stream(body).on("content", (delta) => deltas.push(delta));
    const final = await runner.finalChatCompletion();
    const whole = await client.chat.completions.create(body);
    expect(deltas.join("")).toBe("Let me look.");
    expect(deltas.length).toBeGreaterThan(1);
    expect(final.choices[0]?.finish_reason).toBe("tool_calls");
    expect(final.choices[0]?.message).toMatchObject({ ...whole.choices[0]?.message });
    expect((await runner.totalUsage()).completion_tokens).toBeGreaterThanOrEqual(0);
  });

  test("carries reasoning before text", async () => {
    const messages = scripted({ reasoning: "hm hm", text: "yes", chunks: 2 });
    const kinds: string[] = [];
    for await (const { choices } of await client.chat.completions.create({ model, messages, stream: true })) {
      const delta = choices[0]?.delta as { content?: string; reasoning_content?: string } | undefined;
      if (delta?.reasoning_content) kinds.push("reasoning");
      if (delta?.content) kinds.push("text");
    }
    expect(kinds).toEqual(["reasoning", "reasoning", "text", "text"]);
  });

  test("that is aborted frees its slot", async () => {
    const stream = await client.chat.completions.create({
      model,
      messages: scripted({ chunks: 100_000, delay_ms: 20 }),
      stream: true,
    });
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 5) stream.controller.abort();
    expect(chunks).toBe(5);
    await untilSlots(stack, 0, 0);
    await stack.waitForNode("generate.end", { code: "CANCELLED" });
  });

  test("that is left by break frees its slot too", async () => {
    const messages = scripted({ chunks: 100_000, delay_ms: 20 });
    for await (const _ of await client.chat.completions.create({ model, messages, stream: true })) break;
    await untilSlots(stack, 0, 0);
  });

  test("that fails midway throws the error that the event tells", async () => {
    const messages = scripted({ text: "a b c d", chunks: 4, fail_after: 2, fail: "overloaded" });
    let text = "";
    const error = await failure(
      (async () => {
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? "";
        }
      })(),
    );
    expect(text.length).toBeGreaterThan(0);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code: "overloaded", type: "server_error" });
  });
});

describe("models", () => {
  test("are listed and retrieved", async () => {
    const ids: string[] = [];
    for await (const one of client.models.list()) ids.push(one.id);
    expect(ids).toEqual([model]);
    expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: "model", owned_by: "sluice" });
  });
});

describe("an error is the client's own", () => {
  const messages = [{ role: "user" as const, content: "hi" }];

  test("for a wrong key: AuthenticationError", async () => {
    const stranger = new OpenAI({ apiKey: "sk-wrong", baseURL: `${stack.url}/v1` });
    const error = await failure(stranger.chat.completions.create({ model, messages }));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: "invalid_api_key", type: "invalid_request_error" });
  });

  test("for the admin key: PermissionDeniedError", async () => {
    const admin = new OpenAI({ apiKey: stack.adminKey, baseURL: `${stack.url}/v1` });
    expect(await failure(admin.models.list())).toBeInstanceOf(OpenAI.PermissionDeniedError);
  });

  test("for an unknown model: NotFoundError", async () => {
    const error = await failure(client.chat.completions.create({ model: "gpt-4o", messages }));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", param: "model" });
    expect(await failure(client.models.retrieve("gpt-4o"))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("for a bad request: BadRequestError with param, code and the request's id", async () => {
    const error = await failure(client.chat.completions.create({ model, messages, temperature: 3 }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ param: "temperature", code: null, requestID: expect.stringMatching(/^req_/) });
    const long = await failure(client.chat.completions.create({ model, messages, max_tokens: 1_000_000 }));
    expect(long).toBeInstanceOf(OpenAI.BadRequestError);
    expect(long).toMatchObject({ code: "context_length_exceeded" });
    const unsupported = await failure(client.chat.completions.create({ model, messages, n: 3 }));
    expect(unsupported).toMatchObject({ status: 400, code: "unsupported_parameter", param: "n" });
  });

  test("for what lies with the server: InternalServerError, for 503 and 504 and 500", async () => {
    for (const [fail, status, code] of [
      ["overloaded", 503, "overloaded"],
      ["deadline_exceeded", 504, "timeout"],
      ["internal", 500, null],
    ] as const) {
      const error = await failure(client.chat.completions.create({ model, messages: scripted({ fail }) }, once));
      expect(error).toBeInstanceOf(OpenAI.InternalServerError);
      expect(error).toMatchObject({ status, code });
    }
  });

  test("for its own patience: APIConnectionTimeoutError, and the slot is freed", async () => {
    const call = client.chat.completions.create(
      { model, messages: scripted({ chunks: 1_000, delay_ms: 100 }) },
      { ...once, timeout: 500 },
    );
    expect(await failure(call)).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await untilSlots(stack, 0, 0);
  });
});

describe("a retry", () => {
  /** A client that counts what it sends: the edge's log also has late lines of earlier requests. */
  function counting(maxRetries: number): { sdk: OpenAI; sent: () => number } {
    let sent = 0;
    const counted: typeof fetch = (...args) => {
      sent += 1;
      return fetch(...args);
    };
    const sdk = new OpenAI({ apiKey: stack.apiKey, baseURL: `${stack.url}/v1`, maxRetries, fetch: counted });
    return { sdk, sent: () => sent };
  }

  test("comes after the time that a busy server names, and succeeds when it is free again", async () => {
    const holders = [1, 2].map(() => chat(stack, { messages: scripted({ chunks: 30, delay_ms: 50 }), stream: true }));
    await Promise.all(holders.map(({ head }) => head));
    await untilSlots(stack, 2, 0);
    const { sdk, sent } = counting(5);
    const completion = await sdk.chat.completions.create({ model, messages: scripted({ text: "at last" }) });
    expect(completion.choices[0]?.message.content).toBe("at last");
    expect(sent()).toBeGreaterThan(1);
    for (const { answer } of holders) expect((await answer).text).toContain("[DONE]");
  });

  test("waits as long as it is told", async () => {
    const startedAt = performance.now();
    const messages = scripted({ fail: "overloaded", retry_after_ms: 700 });
    await failure(client.chat.completions.create({ model, messages }, { maxRetries: 1 }));
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(690);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  test("is not made for what will not change", async () => {
    const { sdk, sent } = counting(3);
    const body = { model, messages: [{ role: "user" as const, content: "x" }], temperature: 9 };
    expect(await failure(sdk.chat.completions.create(body))).toBeInstanceOf(OpenAI.BadRequestError);
    expect(sent()).toBe(1);
  });
});
