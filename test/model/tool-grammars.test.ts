// Forced calls in every form: the default model, given other models' templates, writes what their parsers read.
import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { FinishReason, GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ToolChoice_Mode } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";

/** One of each way in which calls are written, and in which a thought may come first. */
const templates = [
  "Qwen-Qwen3-0.6B",
  "Qwen3-Coder",
  "llama-cpp-deepseek-r1",
  "deepseek-ai-DeepSeek-V3.2",
  "meta-llama-Llama-3.1-8B-Instruct",
  "mistralai-Mistral-Nemo-Instruct-2407",
  "openai-gpt-oss-120b",
];

let runtime: Runtime | undefined;
afterEach(() => runtime?.close());

const schema = {
  type: "object",
  properties: {
    title: { type: "string", maxLength: 30 },
    kind: { type: "string", enum: ["book", "film"] },
    year: { type: "integer", minimum: 0, maximum: 9999 },
    tags: { type: "array", items: { type: "boolean" }, maxItems: 2 },
  },
  required: ["title", "kind", "year", "tags"],
  additionalProperties: false,
};
const tools = ["store_item", "find_item"].map((name) => ({
  name,
  parametersJson: JSON.stringify(schema),
  strict: true,
}));

interface Call {
  name: string;
  arguments: string;
}

async function calls(toolChoice: { mode: ToolChoice_Mode; name?: string }, seed: bigint, parallel: boolean) {
  const model = runtime?.models()[0]?.id ?? "";
  const messages = [{ role: 3, content: "Store the book Dune of 1965." }];
  const chat = { messages, tools, toolChoice, parallelToolCalls: parallel };
  const request = create(GenerateRequestSchema, {
    requestId: `forced-${seed}`,
    model,
    prompt: { form: { case: "chat", value: chat } },
    sampling: { temperature: 1, seed },
    thinking: { budgetTokens: 8 },
  });
  const signal = new AbortController().signal;
  if (runtime === undefined || request.prompt === undefined) throw new Error("there is nothing to ask");
  const prepared = await runtime.prepare(model, request.prompt, signal, request.thinking);
  const made: Call[] = [];
  let text = "";
  let reason: FinishReason | undefined;
  for await (const event of runtime.generate({ request, prepared, maxTokens: 400 }, signal)) {
    if (event.case === "finished") reason = event.value.reason;
    if (event.case !== "delta") continue;
    const { part } = event.value;
    if (part.case === "text") text += part.value;
    if (part.case !== "toolCall") continue;
    const { index, name, arguments: piece } = part.value;
    made[index] ??= { name, arguments: "" };
    (made[index] as Call).arguments += piece;
  }
  return { made, text, reason };
}

function expectValid({ name, arguments: text }: Call): void {
  expect(["store_item", "find_item"]).toContain(name);
  const { title, kind, year, tags, ...rest } = JSON.parse(text);
  expect(rest).toEqual({});
  expect(typeof title).toBe("string");
  expect(["book", "film"]).toContain(kind);
  expect(Number.isInteger(year)).toBe(true);
  expect(tags.every((tag: unknown) => typeof tag === "boolean")).toBe(true);
}

describe.each(templates)("in the form of %s", (template) => {
  it("a required and a named tool are called with valid arguments, whatever the model", async () => {
    const url = new URL(`../../inference-node/tool-formats/testing/templates/${template}.jinja`, import.meta.url);
    runtime = await defaultModelRuntime({
      chatTemplate: readFileSync(url, "utf8"),
      sequences: 2,
      contextLength: 2_048,
    });
    await runtime.start();
    const { made, text, reason } = await calls({ mode: ToolChoice_Mode.REQUIRED }, 1n, false);
    expect([reason, text, made.length]).toEqual([FinishReason.TOOL_CALLS, "", 1]);
    made.forEach(expectValid);
    const named = await calls({ mode: ToolChoice_Mode.NAMED, name: "find_item" }, 3n, true);
    expect([named.reason, named.text, named.made.map(({ name }) => name)]).toEqual([
      FinishReason.TOOL_CALLS,
      "",
      ["find_item"],
    ]);
    named.made.forEach(expectValid);
    // Two generations and a load, on prompts of some hundred tokens.
  }, 180_000);
});
