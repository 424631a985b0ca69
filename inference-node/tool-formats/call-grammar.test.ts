// What an answer is held to: forced calls, strict tools, a document beside them, and where a thought comes first.
import { describe, expect, it } from "vitest";
import { Code } from "../node-error.ts";
import { type ChatInit, clockTool, formatOf, rendered, thinking, weatherTool } from "./testing/answers.ts";

const qwen3 = "Qwen-Qwen3-0.6B";
const strictTools = [weatherTool, clockTool].map((tool) => ({ ...tool, strict: true }));
const required = { toolChoice: { mode: 3 } };

function grammarOf(template: string, chat: ChatInit, constraint?: string, mode?: 1 | 2) {
  const format = formatOf(template);
  return format.grammar(rendered(format, chat, mode === undefined ? undefined : thinking({ mode })), constraint);
}

describe("the model is free", () => {
  it.each<[string, ChatInit]>([
    ["with tools that are not strict", {}],
    ["with no tools", { tools: [] }],
    ["with tools that it must not call", { tools: strictTools, toolChoice: { mode: 2 } }],
  ])("%s", (_, chat) => {
    expect(grammarOf(qwen3, chat)).toBeUndefined();
  });
});

describe("a forced call", () => {
  it("is all there is, at once when no thought comes first", () => {
    const grammar = grammarOf(qwen3, required, undefined, 2);
    expect(Object.keys(grammar ?? {})).toEqual(["gbnf"]);
    expect(grammar?.gbnf).toMatch(/^root ::= call/);
  });

  it("follows the thought that the prompt opened", () => {
    expect(grammarOf("llama-cpp-deepseek-r1", required)).toEqual({ gbnf: expect.any(String), after: "</think>" });
  });

  it("may follow a thought that the model opens, but nothing else", () => {
    const grammar = grammarOf(qwen3, required);
    expect(grammar?.after).toBe("</think>");
    expect(grammar?.opening?.text).toBe("<think>");
    expect(grammar?.opening?.gbnf).toMatch(/^root ::= "<think>" \| call/);
  });

  it("is one of the tools that may be called", () => {
    const named = grammarOf(qwen3, { toolChoice: { mode: 4, name: "get_time" } })?.gbnf;
    expect(named).toContain("get_time");
    expect(named).not.toContain("get_weather");
    const allowed = grammarOf(qwen3, { toolChoice: { mode: 3, allowedNames: ["get_weather"] } })?.gbnf;
    expect(allowed).not.toContain("get_time");
  });

  it("is the only one when calls must not be parallel", () => {
    expect(grammarOf(qwen3, required)?.gbnf).toContain("{0,63}");
    expect(grammarOf(qwen3, { ...required, parallelToolCalls: false })?.gbnf).not.toContain("{0,63}");
  });
});

describe("strict tools that the model need not call", () => {
  it.each([
    [qwen3, "<tool_call>", '\\n{\\"name\\": \\"get_time\\", \\"arguments\\": '],
    ["deepseek-ai-DeepSeek-V3.1", "<｜tool▁calls▁begin｜>", "\\uff5ctool\\u2581call\\u2581begin\\uff5c>get_time"],
    ["deepseek-ai-DeepSeek-V3.2", "<｜DSML｜function_calls>", 'invoke name=\\"get_time\\">'],
    ["mistralai-Mistral-Nemo-Instruct-2407", "[TOOL_CALLS]", '[{\\"name\\": \\"get_time\\"'],
    ["Mistral-Small-3.2-24B-Instruct-2506", "[TOOL_CALLS]", 'get_time[ARGS]"'],
    ["openai-gpt-oss-120b", "to=functions.", 'get_time <|constrain|>json<|message|>"'],
  ])("are held from the marker on that begins a call (%s)", (template, after, rest) => {
    const grammar = grammarOf(template, { tools: strictTools });
    expect(grammar).toMatchObject({ after, mayEndBefore: true });
    expect(grammar?.gbnf).toContain(rest.replaceAll("\uff5c", "\\uff5c"));
    // What is generated already is not asked for again.
    expect(grammar?.gbnf.split("\n").find((line) => line.startsWith("call"))).not.toContain(`"${after}`);
  });

  it("are held from the beginning in forms without markers, beside an answer in words", () => {
    const grammar = grammarOf("google-gemma-2-2b-it", { tools: strictTools });
    expect(grammar?.after).toBeUndefined();
    expect(grammar?.gbnf.split("\n")[0]).toMatch(/ \| \[\^/);
  });
});

describe("a constraint on words", () => {
  const document = 'root ::= "{" item "}"\nitem ::= "1"\n';

  it("holds the whole answer when there are no tools", () => {
    expect(grammarOf(qwen3, { tools: [] }, document, 2)).toEqual({ gbnf: document });
  });

  it("holds what is said in words when tools may be called", () => {
    const [root, ...rules] = grammarOf(qwen3, {}, document, 2)?.gbnf.split("\n") ?? [];
    expect(root).toMatch(/^root ::= root-\d+ \| root-\d+$/);
    expect(rules.join("\n")).toContain("get_weather");
  });

  it("does not hold a forced call", () => {
    expect(grammarOf(qwen3, required, document, 2)?.gbnf).not.toContain("item");
  });

  it("stands behind what opens an answer in words", () => {
    expect(grammarOf("openai-gpt-oss-120b", { tools: [] }, document, 2)?.gbnf).toMatch(
      /^root ::= "<\|channel\|>final<\|message\|>" \("\{" item "\}"\)/,
    );
  });
});

describe("arguments", () => {
  const one = { type: "object", properties: { a: { const: 1 } }, required: ["a"] };
  const forced = (schema: object, strict: boolean) =>
    grammarOf(
      qwen3,
      { ...required, tools: [{ name: "f", parametersJson: JSON.stringify(schema), strict }] },
      undefined,
      2,
    );

  it.each([
    { anyOf: [{ type: "array" }, one] },
    { ...one, type: ["array", "string", "object"] },
    { $ref: "#/$defs/d", $defs: { d: { oneOf: [{ type: "string" }, one] } } },
  ])("are an object, whatever else the schema allows: %j", (schema) => {
    const gbnf = forced(schema, true)?.gbnf;
    expect(gbnf).toContain('\\"a\\"');
    expect(gbnf).not.toContain('"["');
    expect(gbnf).not.toContain("string");
  });

  it("that the schema lets no object be are refused when strict, and any object otherwise", () => {
    expect(() => forced({ enum: [1, 2] }, true)).toThrow(expect.objectContaining({ code: Code.INVALID_ARGUMENT }));
    expect(forced({ enum: [1, 2] }, false)?.gbnf).toContain('"{"');
  });
});

describe("schemas that ask for too much", () => {
  const heavy = JSON.stringify({
    type: "object",
    properties: Object.fromEntries(
      Array.from({ length: 30 }, (_, i) => [`p${i}`, { type: "string", pattern: "^(a|b){1,900}[a-z]{3,800}$" }]),
    ),
  });
  const tools = Array.from({ length: 200 }, (_, i) => ({ name: `t${i}`, parametersJson: heavy }));

  it("of 200 tools take no longer than those of one", () => {
    const started = performance.now();
    expect(grammarOf(qwen3, { ...required, tools })?.gbnf).toContain("t199");
    // Each by itself took a second.
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it("are refused by their path when the tool is strict", () => {
    const strict = tools.slice(0, 3).map((tool) => ({ ...tool, strict: true }));
    expect(() => grammarOf(qwen3, { ...required, tools: strict })).toThrow(
      expect.objectContaining({
        code: Code.INVALID_ARGUMENT,
        param: expect.stringMatching(/^prompt\.chat\.tools\[\d\]\.parameters_json/),
      }),
    );
  });
});
