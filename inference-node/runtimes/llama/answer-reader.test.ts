// One answer of the child read by its format: what ends it, what is counted, and what a reader never sees.
import { describe, expect, it } from "vitest";
import { type Finished, FinishReason } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { RuntimeEvent } from "../../runtime.ts";
import { type ChatInit, formatOf, rendered } from "../../tool-formats/testing/answers.ts";
import { AnswerReader } from "./answer-reader.ts";
import type { FinishReasonName, GenerateOptions, GenerationEvent } from "./protocol.ts";

const options = { tokens: new Uint32Array(10) } as unknown as GenerateOptions;
const weatherCall = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>';
const timeCall = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>';

interface Setup {
  template?: string;
  chat?: ChatInit;
  stopStrings?: string[];
  budgetTokens?: number;
}

function reader({ template = "Qwen-Qwen3-0.6B", chat = {}, stopStrings = [], budgetTokens = 0 }: Setup = {}) {
  const format = formatOf(template);
  const forced: string[] = [];
  const answer = new AnswerReader({
    parser: format.parser(rendered(format, chat)),
    stopStrings,
    budgetTokens,
    closeThought: () => forced.push("closed"),
    now: () => 1_000,
  });
  let tokens = 0;
  const events: RuntimeEvent[] = [];
  const take = (event: GenerationEvent): void => void events.push(...answer.read(event, options, "fp"));
  return {
    answer,
    forced,
    events,
    /** A token's text. */
    say: (...texts: string[]) => {
      for (const text of texts) take({ type: "delta", key: 1, text, completionTokens: ++tokens, scores: [] });
    },
    end: (reason: FinishReasonName = "stop"): Finished => {
      const cut = answer.ended;
      const base = { key: 1, completionTokens: tokens, cachedTokens: 0, guessedTokens: 0, guessedRight: 0 };
      if (cut) take({ type: "cancelled", key: 1, steps: 1, completionTokens: tokens });
      else take({ type: "finished", ...base, reason, stop: "", prefillMs: 1, decodeMs: 1 });
      const last = events.at(-1);
      if (last?.case !== "finished") throw new Error("the answer did not end");
      return last.value;
    },
    parts: () => events.flatMap((event) => (event.case === "delta" ? [event.value.part] : [])),
  };
}

describe("the end of an answer", () => {
  it.each<[string, string[], FinishReasonName, FinishReason]>([
    ["words", ["Hello"], "stop", FinishReason.STOP],
    ["a call", [weatherCall], "stop", FinishReason.TOOL_CALLS],
    ["a call that max_tokens cut", [weatherCall.slice(0, 60)], "length", FinishReason.LENGTH],
    ["a call and a full context", [weatherCall], "context_length", FinishReason.CONTEXT_LENGTH],
    ["markup that is no call", ["<tool_call>no</tool_call>"], "stop", FinishReason.STOP],
  ])("after %s", (_, texts, reason, expected) => {
    const { say, end } = reader();
    say(...texts);
    expect(end(reason).reason).toBe(expected);
  });

  it("comes after the first call when calls must not be parallel, and counts no token after it", () => {
    const { answer, say, end, parts } = reader({ chat: { parallelToolCalls: false } });
    say(weatherCall);
    expect(answer.ended).toBe(true);
    say(timeCall, "more");
    const { reason, usage } = end();
    expect([reason, usage?.completionTokens]).toEqual([FinishReason.TOOL_CALLS, 1]);
    expect(parts().filter((part) => part.case === "toolCall" && part.value.name !== "")).toHaveLength(1);
  });

  it("comes after 64 calls of a model that repeats itself", () => {
    const { answer, say, end, parts } = reader();
    for (let count = 0; count < 100 && !answer.ended; count++) say(`${timeCall}\n`);
    expect(end().reason).toBe(FinishReason.TOOL_CALLS);
    expect(parts().filter((part) => part.case === "toolCall" && part.value.name !== "")).toHaveLength(64);
  });

  it("comes at a stop string in words, which is not shown, but not in a call's markup or a thought", () => {
    const { answer, say, end, parts } = reader({ stopStrings: ["city", "END"] });
    say("<think>", "city", "</think>", "Well ", "E", "N");
    expect(answer.ended).toBe(false);
    say("X ", weatherCall, " and E", "ND");
    expect(answer.ended).toBe(true);
    const { reason, stopSequence } = end();
    expect([reason, stopSequence]).toEqual([FinishReason.STOP_SEQUENCE, "END"]);
    const text = parts()
      .map((part) => (part.case === "text" ? part.value : ""))
      .join("");
    expect(text).toBe("Well ENX and ");
    expect(parts().some((part) => part.case === "toolCall")).toBe(true);
  });

  it("shows what was held back for a stop string that did not come", () => {
    const { say, end, parts } = reader({ stopStrings: ["END"] });
    say("the EN");
    expect(end().reason).toBe(FinishReason.STOP);
    expect(
      parts()
        .map((part) => part.value)
        .join(""),
    ).toBe("the EN");
  });
});

describe("reasoning tokens", () => {
  it("are those of the thought and its markers", () => {
    const { say, end } = reader();
    say("<think>", "\n", "one", " two", "\n</think>", "\n\n", "Yes", ".");
    expect(end().usage).toMatchObject({ completionTokens: 8, reasoningTokens: 5 });
  });

  it("are none where nothing is thought", () => {
    const { say, end } = reader();
    say("Yes", ".");
    expect(end().usage).toMatchObject({ completionTokens: 2, reasoningTokens: 0 });
  });

  it("end at the budget: the thought is closed once, and what closes it is not shown", () => {
    const { say, end, forced, parts } = reader({ budgetTokens: 3 });
    say("<think>", "one", " two");
    expect(forced).toEqual(["closed"]);
    say(" three", "\n", "</think>", "Yes");
    expect(end().usage).toMatchObject({ completionTokens: 7, reasoningTokens: 3 });
    expect(forced).toHaveLength(1);
    expect(
      parts()
        .filter((part) => part.case === "text")
        .map((part) => part.value),
    ).toEqual(["Yes"]);
  });

  it("a second close, when the model was faster than the engine, is not shown either", () => {
    const { answer, say, end, parts } = reader();
    say("<think>", "one");
    expect(answer.answerNow()).toBe(true);
    say("</think>", "Yes", "\n</think>", "No");
    end();
    expect(
      parts()
        .filter((part) => part.case === "text")
        .map((part) => part.value)
        .join(""),
    ).toBe("Yes\nNo");
    expect(answer.answerNow()).toBe(false);
  });
});

describe("log-probabilities", () => {
  it("go with the delta that their tokens are behind", () => {
    const { answer, events } = reader();
    const score = (id: number) => ({ id, bytes: new Uint8Array([65]), logprob: -1, top: [] });
    const say = (text: string, id: number): void =>
      void events.push(
        ...answer.read({ type: "delta", key: 1, text, completionTokens: id, scores: [score(id)] }, options, "fp"),
      );
    say("a <tool", 1);
    say("_", 2);
    say("x", 3);
    const ids = events.map((event) =>
      event.case === "delta" ? event.value.logprobs.map(({ tokenId }) => tokenId) : [],
    );
    expect(ids.flat()).toEqual([1, 2, 3]);
    expect(ids.length).toBeLessThanOrEqual(3);
  });
});

it("a history of calls and results is no call of the answer", () => {
  const messages = [
    { role: Role.USER, content: "Which?" },
    { role: Role.ASSISTANT, toolCalls: [{ id: "a", name: "get_time", arguments: "{}" }] },
    { role: Role.TOOL, toolCallId: "a", content: weatherCall },
  ];
  const { say, end } = reader({ chat: { messages } });
  say("Noon.");
  expect(end().reason).toBe(FinishReason.STOP);
});
