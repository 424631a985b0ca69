// A plan says exactly what is streamed: tokens, pieces, limits and ends.
import { describe, expect, it } from "vitest";
import { FinishReason } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { type Plan, type PlanLimits, planScript } from "./plan.ts";
import { parseScript } from "./script.ts";
import { tokenize } from "./tokenizer.ts";

const open: PlanLimits = {
  maxTokens: 1_000,
  limitReason: FinishReason.LENGTH,
  reasoningTokensMax: Number.POSITIVE_INFINITY,
  stopStrings: [],
  stopTokenIds: new Set(),
  toolCalls: [],
  topLogprobs: undefined,
};

function plan(script: object, limits: Partial<PlanLimits> = {}): Plan {
  const parsed = parseScript(JSON.stringify(script), "p");
  return planScript(parsed, { ...open, toolCalls: parsed.toolCalls, ...limits });
}

function pieces({ deltas }: Plan, kind: "text" | "reasoning" = "text"): string[] {
  return deltas.flatMap(({ part }) => (part.case === kind ? [part.value] : []));
}

describe("text", () => {
  it("is streamed a token at a time, or in as many chunks as asked for", () => {
    expect(pieces(plan({ text: "Hello there" }))).toEqual(["Hell", "o", " the", "re"]);
    expect(pieces(plan({ text: "abcdefghij", chunks: 3 }))).toEqual(["abc", "def", "ghij"]);
    expect(pieces(plan({ text: "ab", chunks: 5 }))).toEqual(["a", "b"]);
    expect(pieces(plan({ text: "👋🏽你好", chunks: 4 }))).toEqual(["👋", "🏽", "你", "好"]);
    expect(plan({ text: "" })).toMatchObject({ deltas: [], reason: FinishReason.STOP, completionTokens: 0 });
  });

  it("costs the same tokens however it is cut", () => {
    const text = "The quick brown fox";
    for (const chunks of [undefined, 1, 2, 7, 19, 50]) {
      const { completionTokens, deltas } = plan({ text, chunks });
      expect(completionTokens).toBe(tokenize(text).length);
      expect(deltas.at(-1)?.completionTokens).toBe(completionTokens);
    }
  });

  it("ends at max_tokens, counting exactly that many", () => {
    const cut = plan({ text: "Hello there" }, { maxTokens: 3 });
    expect(pieces(cut)).toEqual(["Hell", "o", " the"]);
    expect(cut).toMatchObject({ reason: FinishReason.LENGTH, completionTokens: 3 });
    expect(plan({ text: "Hello there" }, { maxTokens: 4 }).reason).toBe(FinishReason.STOP);
  });

  it.each([
    ["o t", "Hell", 3],
    ["there", "Hello ", 4],
    ["H", "", 1],
  ])("ends before the stop string %j, whose tokens count", (stop, text, tokens) => {
    const cut = plan({ text: "Hello there" }, { stopStrings: ["absent", stop] });
    expect(pieces(cut).join("")).toBe(text);
    expect(cut).toMatchObject({ reason: FinishReason.STOP_SEQUENCE, stopSequence: stop, completionTokens: tokens });
  });

  it("ends at the stop string that is complete first", () => {
    expect(plan({ text: "abcdefgh" }, { stopStrings: ["abcdefg", "bc"] }).stopSequence).toBe("bc");
  });

  it("runs into max_tokens before a stop string is complete", () => {
    const cut = plan({ text: "Hello there" }, { stopStrings: ["there"], maxTokens: 3 });
    expect(pieces(cut).join("")).toBe("Hello the");
    expect(cut.reason).toBe(FinishReason.LENGTH);
  });

  it("ends before a stop token", () => {
    const [, , third = 0] = tokenize("Hello there");
    const cut = plan({ text: "Hello there" }, { stopTokenIds: new Set([third]) });
    expect(pieces(cut).join("")).toBe("Hello");
    expect(cut).toMatchObject({ reason: FinishReason.STOP_SEQUENCE, stopSequence: "", completionTokens: 3 });
  });

  it("ends as the script says, unless something else ended it", () => {
    expect(plan({ text: "x", finish_reason: "content_filter" }).reason).toBe(FinishReason.CONTENT_FILTER);
    expect(plan({ text: "Hello", finish_reason: "content_filter" }, { maxTokens: 1 }).reason).toBe(FinishReason.LENGTH);
  });
});

describe("reasoning", () => {
  it("comes first and counts into the limit", () => {
    const both = plan({ reasoning: "Hmm", text: "Yes" });
    expect(both.deltas.map(({ part }) => part.case)).toEqual(["reasoning", "text"]);
    expect(both).toMatchObject({ completionTokens: 2, reasoningTokens: 1 });
    const cut = plan({ reasoning: "a b c d", text: "never" }, { maxTokens: 2 });
    expect(pieces(cut, "reasoning")).toEqual(["a", " b"]);
    expect(cut).toMatchObject({ reason: FinishReason.LENGTH, reasoningTokens: 2, completionTokens: 2 });
    expect(pieces(cut)).toEqual([]);
  });

  it("is cut at its budget, and the answer follows", () => {
    const cut = plan({ reasoning: "a b c d", text: "yes" }, { reasoningTokensMax: 2 });
    expect(pieces(cut, "reasoning").join("")).toBe("a b");
    expect(pieces(cut)).toEqual(["yes"]);
  });
});

describe("tool calls", () => {
  const calls = [
    { name: "add", arguments: { a: 1 } },
    { id: "c2", type: "function", function: { name: "sub", arguments: "{" } },
  ];

  it("send id and name once each, then arguments", () => {
    const { deltas, reason } = plan({ tool_calls: calls, chunks: 1 });
    expect(deltas.map(({ part }) => part.value)).toMatchObject([
      { index: 0, id: "call_scripted_0", name: "add", arguments: "" },
      { index: 0, id: "", name: "", arguments: '{"a":1}' },
      { index: 1, id: "c2", name: "sub", arguments: "" },
      { index: 1, id: "", name: "", arguments: "{" },
    ]);
    expect(reason).toBe(FinishReason.TOOL_CALLS);
  });

  it("are not made after a stop string or beyond the limit", () => {
    const stopped = plan({ text: "stop", tool_calls: calls }, { stopStrings: ["stop"] });
    expect(stopped).toMatchObject({ deltas: [], reason: FinishReason.STOP_SEQUENCE });
    const cut = plan({ tool_calls: calls }, { maxTokens: 2 });
    expect(cut).toMatchObject({ reason: FinishReason.LENGTH, completionTokens: 2 });
  });
});

describe("log-probabilities", () => {
  it("go with the piece in which their token begins, as scripted, else 0", () => {
    const script = {
      text: "Hello there",
      chunks: 2,
      logprobs: [-0.5, { logprob: -1, top: [{ token: "x", logprob: -2 }] }],
    };
    const { deltas } = plan(script, { topLogprobs: 1 });
    expect(deltas.map(({ logprobs }) => logprobs.length)).toEqual([2, 2]);
    expect(deltas.flatMap(({ logprobs }) => logprobs.map(({ logprob }) => logprob))).toEqual([-0.5, -1, 0, 0]);
    expect(deltas[0]?.logprobs[1]?.top).toMatchObject([{ logprob: -2 }]);
    expect(new TextDecoder().decode(deltas[0]?.logprobs[0]?.token)).toBe("Hell");
  });

  it("are absent unless asked for", () => {
    const { deltas } = plan({ text: "Hello", logprobs: [-1, -1] });
    expect(deltas.every(({ logprobs }) => logprobs.length === 0)).toBe(true);
  });
});
