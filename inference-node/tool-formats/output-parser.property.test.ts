// Whatever a model writes: the parsers never throw, don't depend on how the text is cut, and let no markup through.
import { describe, expect, it } from "vitest";
import { type Answer, folded, formatOf, read, rendered } from "./testing/answers.ts";

const templates = [
  "Qwen-Qwen3-0.6B",
  "Qwen3.5-4B",
  "llama-cpp-deepseek-r1",
  "deepseek-ai-DeepSeek-V3.1",
  "deepseek-ai-DeepSeek-V3.2",
  "meta-llama-Llama-3.1-8B-Instruct",
  "mistralai-Mistral-Nemo-Instruct-2407",
  "mistralai-Ministral-3-14B-Reasoning-2512",
  "openai-gpt-oss-120b",
  "google-gemma-2-2b-it",
];

/** Mulberry32: the same numbers in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pieces = [
  ..."<think> </think> [THINK] [/THINK] <tool_call> </tool_call> <function=get_weather> </function> <parameter=city>".split(
    " ",
  ),
  ..."</parameter> <｜tool▁calls▁begin｜> <｜tool▁call▁begin｜> <｜tool▁sep｜> <｜tool▁call▁end｜> <｜tool▁calls▁end｜>".split(
    " ",
  ),
  ..."<｜DSML｜function_calls> </｜DSML｜function_calls> </｜DSML｜invoke> [TOOL_CALLS] [ARGS] [CALL_ID]".split(" "),
  ..."<|channel|> <|message|> <|end|> <|start|> <|call|> <|constrain|> <|python_tag|> get_weather get_time function".split(
    " ",
  ),
  ...'{ } [ ] " \\ : , < </ ```json ``` null 12 { "city" "name" "arguments" "parameters" {"city": {} {"name":'.split(
    " ",
  ),
  '<｜DSML｜invoke name="get_weather">',
  '<｜DSML｜parameter name="city" string="true">',
  "</｜DSML｜parameter>",
  '{"name": "get_weather", "arguments": {"city": "Oslo"}}',
  "<|channel|>analysis<|message|>",
  "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>",
  ...["\n", " ", "\n\n", "é", "👋", "\u0000", "\uFFFD", "words", "\ufeff"],
];

function babble(next: () => number): string {
  return Array.from({ length: 1 + Math.floor(next() * 24) }, () => pieces[Math.floor(next() * pieces.length)]).join("");
}

function cut(text: string, next: () => number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const size = 1 + Math.floor(next() * 6);
    parts.push(text.slice(at, at + size));
    at += size;
  }
  return parts;
}

describe.each(templates)("the form of %s", (template) => {
  const format = formatOf(template);
  const chat = rendered(format);
  const controls = format.visibleTokens(chat);

  it("reads 400 random texts without throwing, the same however they are cut", () => {
    const next = random(4711);
    for (let round = 0; round < 400; round++) {
      const text = babble(next);
      const whole = read(format, chat, [text]);
      expect(read(format, chat, cut(text, next)), JSON.stringify(text)).toEqual(whole);
      check(whole, text);
    }
  });

  it("gives text without markup back exactly", () => {
    const next = random(7);
    const close = chat.choice.thought?.begun === true ? (format.reasoning?.close ?? "") : "";
    for (let round = 0; round < 100; round++) {
      const letters = Array.from({ length: 40 }, () => "ab \n.,!é👋'()=-"[Math.floor(next() * 14)] ?? "").join("");
      const text = `x${letters.toWellFormed()}`;
      expect(read(format, chat, cut(close + text, next)).text).toBe(text);
    }
  });

  it("reads 100,000 characters of opened markup in bounded time", () => {
    for (const piece of [
      "<tool_call>{",
      '{"name":"',
      "[TOOL_CALLS]",
      "<｜tool▁call▁begin｜>",
      "<｜DSML｜function_calls>",
      "[[",
      "\n",
    ]) {
      const parser = format.parser(chat);
      const text = piece.repeat(Math.ceil(100_000 / piece.length));
      const started = performance.now();
      folded([...cut(text, random(1)).flatMap((part) => parser.push(part)), ...parser.end()]);
      // Quadratic reading takes minutes.
      expect(performance.now() - started).toBeLessThan(15_000);
    }
  }, 120_000);

  function check({ text, reasoning, calls, ids }: Answer, source: string): void {
    for (const control of controls) {
      for (const shown of [text, reasoning, ...calls.map((call) => call.arguments)]) {
        expect(shown.includes(control), `${control} of ${JSON.stringify(source)} in ${JSON.stringify(shown)}`).toBe(
          false,
        );
      }
    }
    for (const call of calls) {
      expect(["get_weather", "get_time"]).toContain(call.name);
      expect(call.arguments.startsWith("{"), JSON.stringify(source)).toBe(true);
    }
    expect(new Set(ids).size).toBe(calls.length);
  }
});
