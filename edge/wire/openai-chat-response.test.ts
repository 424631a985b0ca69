// Events of a generation as OpenAI's chunks and as its one body.
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { FinishReason, GenerateEventSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ApiError } from "../errors.ts";
import { admitted, finished, prefilled, said } from "../testing/fake-node.ts";
import type { EventInit } from "../testing/fake-node-types.ts";
import { ChatBodyWriter, ChatStreamWriter, openAiFinishReason } from "./openai-chat-response.ts";

const head = { id: "chatcmpl-1", created: 17, model: 'm"1', logprobs: false };

function delta(part: Record<string, unknown>, more: Record<string, unknown> = {}): EventInit {
  return { event: { case: "delta", value: { part, completionTokens: 1, ...more } } } as EventInit;
}

const toolCall = (value: Record<string, unknown>, choiceIndex = 0) =>
  delta({ case: "toolCall", value }, { choiceIndex });

function stream(events: EventInit[], options: { includeUsage?: boolean; logprobs?: boolean } = {}): string {
  const writer = new ChatStreamWriter({ ...head, includeUsage: false, ...options });
  return events.map((event) => writer.event(create(GenerateEventSchema, event))).join("");
}

/** The JSON of every event; `[DONE]` stays text. */
function chunksOf(text: string) {
  expect(text.endsWith("\n\n")).toBe(true);
  return text
    .slice(0, -2)
    .split("\n\n")
    .map((event) => event.replace(/^data: /, ""))
    .map((data) => (data === "[DONE]" ? data : JSON.parse(data)));
}

function bodyOf(events: EventInit[], logprobs = false) {
  const writer = new ChatBodyWriter({ ...head, logprobs });
  for (const event of events) writer.event(create(GenerateEventSchema, event));
  return JSON.parse(writer.body());
}

describe("a stream", () => {
  test("is a role, the text, one finish and [DONE], byte for byte", () => {
    const open =
      '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":17,"model":"m\\"1","system_fingerprint":"fp_test","choices":[';
    expect(stream([admitted, prefilled, said('He\n"y"'), finished()])).toBe(
      [
        `data: ${open}{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}`,
        `data: ${open}{"index":0,"delta":{"content":"He\\n\\"y\\""},"logprobs":null,"finish_reason":null}]}`,
        `data: ${open}{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`,
        "data: [DONE]",
        "",
      ].join("\n\n"),
    );
  });

  test("names the stop string that ended it, as the body does, and nothing when none did", () => {
    const value = { reason: FinishReason.STOP_SEQUENCE, stopSequence: '"\n' };
    const events: EventInit[] = [prefilled, said("a"), { event: { case: "finished", value } }];
    const last = chunksOf(stream(events)).at(-2);
    expect(last.choices[0]).toMatchObject({ finish_reason: "stop", stop_reason: '"\n' });
    expect(bodyOf(events).choices[0]).toMatchObject({ finish_reason: "stop", stop_reason: '"\n' });
    expect(bodyOf([prefilled, said("a"), finished()]).choices[0]).not.toHaveProperty("stop_reason");
  });

  test("says nothing before the first token", () => {
    expect(stream([admitted, prefilled])).toBe("");
  });

  test("has usage null on every chunk and a last chunk without choices when usage was asked for", () => {
    const chunks = chunksOf(stream([prefilled, said("a"), finished()], { includeUsage: true }));
    expect(chunks.at(-1)).toBe("[DONE]");
    expect(chunks.at(-2)).toMatchObject({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } });
    for (const chunk of chunks.slice(0, -2)) expect(chunk.usage).toBeNull();
  });

  test("has no usage key at all when it was not asked for", () => {
    for (const chunk of chunksOf(stream([said("a"), finished()])).slice(0, -1))
      expect(chunk).not.toHaveProperty("usage");
  });

  test("opens with the role also when the answer is empty", () => {
    const chunks = chunksOf(stream([prefilled, finished(FinishReason.LENGTH, 0)]));
    expect(chunks[0].choices[0].delta.role).toBe("assistant");
    expect(chunks[1].choices[0].finish_reason).toBe("length");
  });

  test("gives reasoning as reasoning_content, beside content", () => {
    const chunks = chunksOf(stream([delta({ case: "reasoning", value: "hm" }), said("yes"), finished()]));
    expect(chunks.slice(1, 3).map((chunk) => chunk.choices[0].delta)).toEqual([
      { reasoning_content: "hm" },
      { content: "yes" },
    ]);
  });

  test("names each tool call once and then only adds to its arguments", () => {
    const chunks = chunksOf(
      stream([
        toolCall({ index: 0, id: "call_a", name: "f", arguments: "" }),
        toolCall({ index: 0, arguments: '{"x":' }),
        toolCall({ index: 1, id: "call_b", name: "g", arguments: "{}" }),
        toolCall({ index: 0, arguments: "1}" }),
        finished(FinishReason.TOOL_CALLS),
      ]),
    );
    expect(chunks.slice(1, 5).map((chunk) => chunk.choices[0].delta.tool_calls[0])).toEqual([
      { index: 0, id: "call_a", type: "function", function: { name: "f", arguments: "" } },
      { index: 0, function: { arguments: '{"x":' } },
      { index: 1, id: "call_b", type: "function", function: { name: "g", arguments: "{}" } },
      { index: 0, function: { arguments: "1}" } },
    ]);
    expect(chunks.at(-2).choices[0].finish_reason).toBe("tool_calls");
  });

  test("opens and closes each of several answers once", () => {
    const choices = [
      { choiceIndex: 0, reason: FinishReason.STOP },
      { choiceIndex: 1, reason: FinishReason.LENGTH },
    ];
    const end = { event: { case: "finished", value: { reason: FinishReason.STOP, choices } } } as EventInit;
    const chunks = chunksOf(
      stream([delta({ case: "text", value: "a" }), delta({ case: "text", value: "b" }, { choiceIndex: 1 }), end]),
    ).slice(0, -1);
    for (const index of [0, 1]) {
      const own = chunks.map((chunk) => chunk.choices[0]).filter((choice) => choice.index === index);
      expect(own.filter((choice) => choice.delta.role !== undefined)).toHaveLength(1);
      expect(own.map((choice) => choice.finish_reason)).toEqual([null, null, index === 0 ? "stop" : "length"]);
    }
  });

  test("tells of a failure in one event of OpenAI's error shape", () => {
    const writer = new ChatStreamWriter({ ...head, includeUsage: false });
    const error = new ApiError("overloaded", "Busy.");
    expect(writer.failure(error)).toBe(
      'data: {"error":{"message":"Busy.","type":"server_error","param":null,"code":"overloaded"}}\n\n',
    );
  });
});

describe("log-probabilities", () => {
  const bytes = new TextEncoder().encode("é");
  const token = { token: bytes.slice(0, 1), logprob: Number.NEGATIVE_INFINITY, top: [{ token: bytes, logprob: -0.5 }] };

  test("keep the bytes of a token that is half a character, and never are infinite", () => {
    const [, chunk] = chunksOf(
      stream([delta({ case: "text", value: "é" }, { logprobs: [token] }), finished()], { logprobs: true }),
    );
    expect(chunk.choices[0].logprobs).toEqual({
      content: [
        {
          token: "\ufffd",
          logprob: -9999,
          bytes: [0xc3],
          top_logprobs: [{ token: "é", logprob: -0.5, bytes: [0xc3, 0xa9] }],
        },
      ],
      refusal: null,
    });
  });

  test("of held-back text still come, on an empty delta", () => {
    const chunks = chunksOf(
      stream([delta({ case: undefined }, { logprobs: [token] }), finished()], { logprobs: true }),
    );
    expect(chunks[1].choices[0]).toMatchObject({ delta: { content: "" }, logprobs: { content: [{ bytes: [0xc3] }] } });
  });

  test("are all in the body, reasoning's apart", () => {
    const events = [
      delta({ case: "reasoning", value: "r" }, { logprobs: [token] }),
      delta({ case: "text", value: "a" }, { logprobs: [token, token] }),
      finished(),
    ];
    const { logprobs } = bodyOf(events, true).choices[0];
    expect(logprobs.content).toHaveLength(2);
    expect(logprobs.reasoning_content).toHaveLength(1);
    expect(bodyOf(events).choices[0].logprobs).toBeNull();
  });
});

describe("a body", () => {
  test("is the fold of the same events", () => {
    const events = [
      admitted,
      prefilled,
      delta({ case: "reasoning", value: "hm" }),
      said("Hel"),
      said("lo"),
      finished(),
    ];
    expect(bodyOf(events)).toEqual({
      id: "chatcmpl-1",
      object: "chat.completion",
      created: 17,
      model: 'm"1',
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello", reasoning_content: "hm", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: {
        prompt_tokens: 7,
        completion_tokens: 2,
        total_tokens: 9,
        prompt_tokens_details: { cached_tokens: 2, audio_tokens: 0 },
        completion_tokens_details: {
          reasoning_tokens: 0,
          audio_tokens: 0,
          accepted_prediction_tokens: 0,
          rejected_prediction_tokens: 0,
        },
        prompt_cache_hit_tokens: 2,
        prompt_cache_miss_tokens: 5,
      },
      system_fingerprint: "fp_test",
    });
  });

  test("has null content beside tool calls and whole arguments in each", () => {
    const { message } = bodyOf([
      toolCall({ index: 1, id: "call_b", name: "g", arguments: "{}" }),
      toolCall({ index: 0, id: "call_a", name: "f", arguments: '{"x"' }),
      toolCall({ index: 0, arguments: ":1}" }),
      finished(FinishReason.TOOL_CALLS),
    ]).choices[0];
    expect(message.content).toBeNull();
    expect(message.tool_calls).toEqual([
      { id: "call_a", type: "function", function: { name: "f", arguments: '{"x":1}' } },
      { id: "call_b", type: "function", function: { name: "g", arguments: "{}" } },
    ]);
  });

  test("has empty content, not null, when the model said nothing", () => {
    expect(bodyOf([prefilled, finished()]).choices[0].message.content).toBe("");
  });
});

test.each([
  [FinishReason.STOP, "stop"],
  [FinishReason.STOP_SEQUENCE, "stop"],
  [FinishReason.LENGTH, "length"],
  [FinishReason.CONTEXT_LENGTH, "length"],
  [FinishReason.TOOL_CALLS, "tool_calls"],
  [FinishReason.CONTENT_FILTER, "content_filter"],
  [FinishReason.CANCELLED, "stop"],
])("finish reason %i is %s", (reason, word) => {
  expect(openAiFinishReason(reason)).toBe(word);
});
