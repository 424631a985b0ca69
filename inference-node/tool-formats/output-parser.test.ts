// Answers as models really write them, right and wrong, read out of their text in every form.
import { describe, expect, it } from "vitest";
import { Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { folded, formatOf, readEveryWay, rendered, thinking } from "./testing/answers.ts";

const qwen3 = "Qwen-Qwen3-0.6B";
const qwenXml = "Qwen3.5-4B";
const r1 = "llama-cpp-deepseek-r1";
const v31 = "deepseek-ai-DeepSeek-V3.1";
const v32 = "deepseek-ai-DeepSeek-V3.2";
const llama = "meta-llama-Llama-3.1-8B-Instruct";
const nemo = "mistralai-Mistral-Nemo-Instruct-2407";
const mistral = "Mistral-Small-3.2-24B-Instruct-2506";
const ministral = "mistralai-Ministral-3-14B-Reasoning-2512";
const gptOss = "openai-gpt-oss-120b";
const gemma = "google-gemma-2-2b-it";

const oslo = '{"city": "Oslo"}';
const weather = { name: "get_weather", arguments: oslo };

/** What comes of an answer to a chat with both tools, by the template's own form. */
function answer(template: string, text: string, reasons?: boolean) {
  const format = formatOf(template);
  const mode = reasons === undefined ? undefined : thinking({ mode: reasons ? 1 : 2 });
  const { ids: _, ...rest } = readEveryWay(format, rendered(format, {}, mode), text);
  return rest;
}

const calls: [what: string, template: string, text: string, expected: object][] = [
  [
    "words, then two calls",
    qwen3,
    `Let me look.\n<tool_call>\n{"name": "get_weather", "arguments": ${oslo}}\n</tool_call>\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>`,
    { text: "Let me look.", calls: [weather, { name: "get_time", arguments: "{}" }] },
  ],
  [
    "a call that the end cuts off before its closing tag",
    qwen3,
    `<tool_call>\n{"name": "get_weather", "arguments": ${oslo}}`,
    { text: "", calls: [weather] },
  ],
  [
    "a call without its last brace",
    qwen3,
    `<tool_call>{"name": "get_weather", "arguments": ${oslo}\n</tool_call>`,
    { text: "", calls: [weather] },
  ],
  [
    "arguments before the name, and as JSON text",
    qwen3,
    `<tool_call>{"arguments": "{\\"city\\": \\"Oslo\\"}", "name": "get_weather"}</tool_call>`,
    { text: "", calls: [weather] },
  ],
  [
    "a call without arguments",
    qwen3,
    '<tool_call>{"name": "get_time"}</tool_call>',
    { text: "", calls: [{ name: "get_time", arguments: "{}" }] },
  ],
  [
    "a raw line break inside a string",
    qwen3,
    '<tool_call>{"name": "get_weather", "arguments": {"city": "a\nb"}}</tool_call>',
    { calls: [{ name: "get_weather", arguments: '{"city": "a\\nb"}' }] },
  ],
  [
    "a closing tag inside a string",
    qwen3,
    '<tool_call>{"name": "get_weather", "arguments": {"city": "</tool_call>"}}</tool_call>',
    { calls: [{ name: "get_weather", arguments: '{"city": "</tool_call>"}' }] },
  ],
  [
    "tags with a string, a number and an object",
    qwenXml,
    '<tool_call>\n<function=get_weather>\n<parameter=city>\nA "b"\nc\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=options>\n{"units": "m"}\n</parameter>\n</function>\n</tool_call>',
    {
      text: "",
      calls: [{ name: "get_weather", arguments: '{"city": "A \\"b\\"\\nc", "days": 3, "options": {"units":"m"}}' }],
    },
  ],
  [
    "a number that is none, as the text that it is",
    qwenXml,
    "<tool_call>\n<function=get_weather>\n<parameter=days>\nmany\n</parameter>\n</function>\n</tool_call>",
    { calls: [{ name: "get_weather", arguments: '{"days": "many"}' }] },
  ],
  [
    "two calls of R1 in code blocks",
    r1,
    `</think>Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${oslo}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n\`\`\`json\n{}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    { text: "Hm.", calls: [weather, { name: "get_time", arguments: "{}" }] },
  ],
  [
    "two calls of V3.1",
    v31,
    `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${oslo}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_time<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    { text: "", calls: [weather, { name: "get_time", arguments: "{}" }] },
  ],
  [
    "DSML with a string and a number",
    v32,
    'Ok.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">O<sl>o & "x"</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    { text: "Ok.", calls: [{ name: "get_weather", arguments: '{"city": "O<sl>o & \\"x\\"", "days": 2}' }] },
  ],
  ["Llama's JSON", llama, `{"name": "get_weather", "parameters": ${oslo}}`, { text: "", calls: [weather] }],
  [
    "Llama's JSON behind its tag, with a second call",
    llama,
    `<|python_tag|>{"name": "get_weather", "parameters": ${oslo}}; {"name": "get_time", "parameters": {}}`,
    { text: "", calls: [weather, { name: "get_time", arguments: "{}" }] },
  ],
  [
    "Mistral's array, with ids",
    nemo,
    `[TOOL_CALLS][{"name": "get_weather", "arguments": ${oslo}, "id": "abcdefgh1"}, {"name": "get_time", "arguments": {}}]`,
    { text: "", calls: [weather, { name: "get_time", arguments: "{}" }] },
  ],
  [
    "Mistral's named calls, one with an id",
    mistral,
    `[TOOL_CALLS]get_weather[CALL_ID]abcdefgh1[ARGS]${oslo}[TOOL_CALLS]get_time[ARGS]{}`,
    { text: "", calls: [weather, { name: "get_time", arguments: "{}" }] },
  ],
  [
    "a message on each of harmony's channels",
    gptOss,
    `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${oslo}<|call|>`,
    { text: "I look.", reasoning: "Hm.", calls: [weather] },
  ],
  [
    "harmony's final answer",
    gptOss,
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>It is <b>5</b>.<|return|>",
    { text: "It is <b>5</b>.", reasoning: "Hm.", calls: [] },
  ],
  ["the generic form", gemma, `{"name": "get_weather", "arguments": ${oslo}}`, { text: "", calls: [weather] }],
  [
    "the generic form in a code block",
    gemma,
    `\`\`\`json\n{"name": "get_weather", "arguments": ${oslo}}\n\`\`\``,
    { text: "", calls: [weather] },
  ],
];

const broken: [what: string, template: string, text: string, expected: object][] = [
  ["no JSON behind the marker", qwen3, "Use <tool_call> like this.", { text: "Use <tool_call> like this." }],
  ["a marker at the end", qwen3, "a <tool_call>", { text: "a <tool_call>" }],
  ["half a marker", qwen3, "a <tool_c b", { text: "a <tool_c b" }],
  [
    "a tool that is not on offer",
    qwen3,
    '<tool_call>{"name": "rm", "arguments": {}}</tool_call> x',
    { text: '<tool_call>{"name": "rm", "arguments": {}}</tool_call> x' },
  ],
  [
    "arguments that are no object",
    qwen3,
    '<tool_call>{"name": "get_time", "arguments": [1]}</tool_call>',
    { text: '<tool_call>{"name": "get_time", "arguments": [1]}</tool_call>' },
  ],
  [
    "a broken call before a good one",
    qwen3,
    `<tool_call>{oops}</tool_call>\n<tool_call>{"name": "get_weather", "arguments": ${oslo}}</tool_call>`,
    { text: "<tool_call>{oops}</tool_call>", calls: [weather] },
  ],
  ["control tokens of no call", v31, "a<｜tool▁calls▁begin｜>b<｜tool▁call▁end｜>c", { text: "abc" }],
  [
    "a call of a tool that is not on offer between control tokens",
    v31,
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>rm<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    { text: "rm{}" },
  ],
  ["Mistral's marker without a call", mistral, "[TOOL_CALLS]hello", { text: "hello" }],
  ["JSON of another kind", llama, '{"city": "Oslo", "list": [1, 2]}', { text: '{"city": "Oslo", "list": [1, 2]}' }],
  ["JSON with a name that is no tool's", gemma, '{"name": "Bob", "age": 5}', { text: '{"name": "Bob", "age": 5}' }],
  ["a code block", gemma, "```json\n[1]\n```", { text: "```json\n[1]\n```" }],
  ["harmony without an end of its header", gptOss, "<|channel|>final hello", { text: "final hello" }],
];

describe("a call is read out of", () => {
  it.each(calls)("%s (%s)", (_, template, text, expected) => {
    expect(answer(template, text, template === r1 ? undefined : false)).toMatchObject(expected);
  });
});

describe("what is no call stays text:", () => {
  it.each(broken)("%s (%s)", (_, template, text, expected) => {
    expect(answer(template, text, false)).toEqual({ reasoning: "", calls: [], ...expected });
  });

  it("arguments that the end cuts off are given as far as they came", () => {
    const format = formatOf(qwen3);
    const { calls: cut } = readEveryWay(
      format,
      rendered(format),
      '<tool_call>{"name": "get_weather", "arguments": {"city": "Os',
    );
    expect(cut.map(({ name }) => name)).toEqual(["get_weather"]);
    expect(cut[0]?.arguments.startsWith('{"city": "Os')).toBe(true);
  });

  it("arguments that the end cuts off anywhere are closed to JSON", () => {
    const whole = '{"a": [-1.5e+3, true, {"k\\u00e9\\n": null}], "b" : "x\\\\\\u0041,", "c": {}, "d": false, "e": 20 }';
    expect(JSON.parse(whole)).toBeTypeOf("object");
    const format = formatOf(qwen3);
    for (let end = 1; end <= whole.length; end++) {
      const text = `<tool_call>{"name": "get_weather", "arguments": ${whole.slice(0, end)}`;
      const parser = format.parser(rendered(format));
      const [call] = folded([...parser.push(text), ...parser.end()]).calls;
      expect(() => JSON.parse(call?.arguments ?? ""), call?.arguments).not.toThrow();
    }
  });

  it("a control token inside arguments ends them, and never is part of them", () => {
    const { calls: cut } = answer(
      v31,
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Os<｜tool▁call▁end｜>',
      false,
    );
    expect(cut).toEqual([{ name: "get_weather", arguments: '{"city": "Os"}' }]);
  });
});

describe("reasoning", () => {
  it.each([
    ["that the model opens", qwen3, "<think>\nHm,\n\nso.\n</think>\n\nYes.", undefined],
    ["that the prompt opened", qwenXml, "Hm,\n\nso.\n</think>\n\nYes.", undefined],
    ["of DeepSeek V3.1, turned on", v31, "Hm,\n\nso.</think>Yes.", true],
    ["between Mistral's control tokens", ministral, "[THINK]Hm,\n\nso.[/THINK]Yes.", undefined],
    [
      "on harmony's channel",
      gptOss,
      "<|channel|>analysis<|message|>Hm,\n\nso.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
      undefined,
    ],
  ])("%s is apart from the answer", (_, template, text, mode) => {
    expect(answer(template, text, mode)).toEqual({ text: "Yes.", reasoning: "Hm,\n\nso.", calls: [] });
  });

  it("goes before a call", () => {
    const text = `<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": ${oslo}}\n</tool_call>`;
    expect(answer(qwen3, text)).toEqual({ text: "", reasoning: "Hm.", calls: [weather] });
  });

  it("that never ends is all there is", () => {
    expect(answer(r1, "Hm <tool_call> x")).toEqual({ text: "", reasoning: "Hm <tool_call> x", calls: [] });
  });

  it("is ended by a control token that begins a call", () => {
    const text = `Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${oslo}<｜tool▁call▁end｜>`;
    expect(answer(v31, text, true)).toEqual({ text: "", reasoning: "Hm.", calls: [weather] });
  });

  it("is begun by a marker at the beginning of the answer only", () => {
    const text = "The tag <think> opens a thought, </think> closes it.";
    expect(answer(qwen3, text)).toEqual({ text, reasoning: "", calls: [] });
  });

  it("turned off leaves the model behind a closed thought, whether its template has a switch or not", () => {
    for (const template of [qwen3, qwenXml, r1, v31, ministral, gptOss]) {
      const format = formatOf(template);
      const { segments, choice } = rendered(format, {}, thinking({ mode: 2 }));
      expect(
        segments
          .join("")
          .trimEnd()
          .endsWith(format.reasoning?.close ?? "-"),
        template,
      ).toBe(true);
      expect(choice.thought).toBeUndefined();
    }
  });

  it("takes an effort where the template has one", () => {
    const format = formatOf(gptOss);
    expect(rendered(format, {}, thinking({ effort: 1 })).segments.join("")).toContain("Reasoning: low");
    expect(rendered(format, {}, thinking({ effort: 4 })).segments.join("")).toContain("Reasoning: high");
    expect(rendered(formatOf("deepseek-ai-DeepSeek-V4"), {}, thinking({ effort: 4 })).segments.join("")).toContain(
      "Absolute maximum",
    );
  });

  it("given back by the client goes into the history where the template has a place for it", () => {
    const format = formatOf(v32);
    const messages = [
      { role: Role.USER, content: "Which?" },
      {
        role: Role.ASSISTANT,
        reasoning: "I wonder.",
        toolCalls: [{ id: "abcdefgh1", name: "get_time", arguments: "{}" }],
      },
      { role: Role.TOOL, toolCallId: "abcdefgh1", content: "5" },
    ];
    expect(rendered(format, { messages }, thinking({ mode: 1 })).segments.join("")).toContain("I wonder.");
  });
});

describe("ids", () => {
  it("are of the shape that the template wants, also when the history's are not", () => {
    const format = formatOf(nemo);
    const { ids } = readEveryWay(format, rendered(format), `[TOOL_CALLS][{"name": "get_time", "arguments": {}}]`);
    expect(ids).toEqual(["000000001"]);
    const messages = [
      { role: Role.USER, content: "Which?" },
      { role: Role.ASSISTANT, toolCalls: [{ id: "call_of_another_vendor", name: "get_time", arguments: "{}" }] },
      { role: Role.TOOL, toolCallId: "call_of_another_vendor", content: "5" },
    ];
    const [, inCall] = /"id": "(\w{9})"/.exec(rendered(format, { messages }).segments.join("")) ?? [];
    expect(rendered(format, { messages }).segments.join("")).toContain(`"call_id": "${inCall}"`);
  });
});
