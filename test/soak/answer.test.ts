// A soak finds what is wrong with an answer, and nothing wrong with a right one.
import { describe, expect, test } from "vitest";
import { faultOfAnswer, readBody, readChunks } from "./answer.ts";

const usage = (completion: number, total = 10 + completion) => ({
  prompt_tokens: 10,
  completion_tokens: completion,
  total_tokens: total,
  prompt_tokens_details: { cached_tokens: 4 },
});

interface Said {
  content?: string | null;
  finish?: string;
  tokens?: object[];
  calls?: { name: string; arguments: string }[];
}

function body(completion: number, ...said: Said[]) {
  return {
    object: "chat.completion",
    usage: usage(completion),
    choices: said.map(({ content = "Hi.", finish = "stop", tokens, calls }, index) => ({
      index,
      message: {
        role: "assistant",
        content,
        ...(calls && { tool_calls: calls.map((call) => ({ id: "a", function: call })) }),
      },
      logprobs: tokens === undefined ? null : { content: tokens },
      finish_reason: finish,
    })),
  };
}

const fault = (asked: Record<string, unknown>, completion: number, ...said: Said[]) =>
  faultOfAnswer(asked, readBody(body(completion, ...said)));

const token = (text: string, top = 0) => ({
  token: text,
  logprob: -1,
  bytes: [...Buffer.from(text)],
  top_logprobs: Array.from({ length: top }, () => ({ token: "x", logprob: -2 })),
});
const color = { type: "object", properties: { color: { enum: ["red"] } }, required: ["color"] };
const format = { response_format: { type: "json_schema", json_schema: { schema: color } } };
const tool = { tools: [{ type: "function", function: { name: "paint", parameters: color } }] };

describe("a right answer has no fault", () => {
  test.each<[string, Record<string, unknown>, number, Said[]]>([
    ["plain", { max_tokens: 4 }, 3, [{}]],
    ["cut at its limit", { max_tokens: 3 }, 3, [{ finish: "length" }]],
    ["two choices", { n: 2, max_tokens: 3 }, 5, [{ finish: "length" }, {}]],
    [
      "log-probabilities",
      { logprobs: true, top_logprobs: 1 },
      2,
      [{ content: "aä", tokens: [token("a", 1), token("ä", 1)] }],
    ],
    ["a document", format, 3, [{ content: '{"color":"red"}' }]],
    ["a document that was cut", { ...format, max_tokens: 3 }, 3, [{ content: '{"co', finish: "length" }]],
    [
      "a call",
      tool,
      3,
      [{ content: null, finish: "tool_calls", calls: [{ name: "paint", arguments: '{"color":"red"}' }] }],
    ],
  ])("%s", (_name, asked, completion, said) => {
    expect(fault(asked, completion, ...said)).toBeUndefined();
  });
});

describe("what is wrong is told", () => {
  test.each<[string, Record<string, unknown>, number, Said[]]>([
    ["has 1 choices of 2", { n: 2 }, 3, [{}]],
    ["has 5 tokens of at most 1 x 4", { max_tokens: 4 }, 5, [{}]],
    ["has 1 tokens of at least 1 x 2", { min_tokens: 2 }, 1, [{}]],
    ["ended by length after 2 tokens of 1 x 3", { max_tokens: 3 }, 2, [{ finish: "length" }]],
    ['holds its stop string "i."', { stop: ["x", "i."] }, 2, [{}]],
    [
      "has log-probabilities of another text than its own",
      { logprobs: true },
      1,
      [{ content: "b", tokens: [token("a")] }],
    ],
    [
      "has tokens without 2 alternatives",
      { logprobs: true, top_logprobs: 2 },
      1,
      [{ content: "a", tokens: [token("a")] }],
    ],
    ["is no JSON", format, 3, [{ content: '{"color":' }]],
    ["breaks its schema (.color is not in the enum)", format, 3, [{ content: '{"color":"blue"}' }]],
    ["has no tool call", tool, 3, [{}]],
    ['calls "write", which is no tool', tool, 3, [{ calls: [{ name: "write", arguments: "{}" }] }]],
    ["calls a tool, and its arguments breaks", tool, 3, [{ calls: [{ name: "paint", arguments: "{}" }] }]],
  ])("%s", (sentence, asked, completion, said) => {
    expect(fault(asked, completion, ...said)).toContain(sentence);
  });

  test("a sum that is none", () => {
    const answer = readBody({ ...body(3, {}), usage: usage(3, 14) });
    expect(faultOfAnswer({}, answer)).toBe("counts 10 + 3 tokens as 14");
  });
});

describe("a stream", () => {
  const chunk = (delta: object, finish: string | null = null, index = 0) => ({
    object: "chat.completion.chunk",
    choices: [{ index, delta, logprobs: null, finish_reason: finish }],
    usage: null,
  });
  const last = { object: "chat.completion.chunk", choices: [], usage: usage(4) };

  test("is put together by choice, with calls whose name comes first", () => {
    const call = (text: string, name?: string) => ({
      tool_calls: [{ index: 0, function: { ...(name && { name }), arguments: text } }],
    });
    const events = [
      chunk({ content: "a" }, null, 1),
      chunk(call("{", "paint")),
      chunk({ content: "b" }, null, 1),
      chunk(call("}")),
      chunk({}, "stop", 1),
      chunk({}, "tool_calls"),
      last,
    ];
    const { choices } = readChunks(events);
    expect(choices.map(({ text, finish }) => [text, finish])).toEqual([
      ["", "tool_calls"],
      ["ab", "stop"],
    ]);
    expect(choices[0]?.calls).toEqual([{ name: "paint", arguments: "{}" }]);
  });

  test("must have one usage, and nothing after a choice's end", () => {
    expect(() => readChunks([chunk({}, "stop")])).toThrow("the stream has no usage");
    expect(() => readChunks([chunk({}, "stop"), last, last])).toThrow("the stream has two usages");
    expect(() => readChunks([chunk({}, "stop"), chunk({ content: "b" }), last])).toThrow(
      "choice 0 goes on after its end",
    );
  });

  test("whose choice never ended is faulty", () => {
    expect(faultOfAnswer({}, readChunks([chunk({ content: "a" }), last]))).toBe("has a choice without a finish reason");
  });
});
