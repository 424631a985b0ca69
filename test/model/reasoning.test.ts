// Reasoning on the default model, given a template that opens a thought: apart, counted, bounded, and closed on demand.
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { type Finished, FinishReason, GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { type GenerateRequestInit, userPrompt } from "../support/generate.ts";

const chatTemplate =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n" +
  "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}";

let runtime: Runtime;

beforeAll(async () => {
  runtime = await defaultModelRuntime({ chatTemplate, sequences: 2 });
  await runtime.start();
});

afterAll(() => runtime.close());

interface Read {
  text: string;
  reasoning: string;
  /** What each delta was, neighbours of a kind once. */
  order: string[];
  calls: string;
  finished: Finished;
}

let requests = 0;

/** Room for the widest space that JSON may have. */
const documentTokens = 250;

async function ask(
  init: GenerateRequestInit,
  onDelta?: (requestId: string, deltas: number) => void,
  maxTokens = 60,
): Promise<Read> {
  const requestId = `reasoning-${++requests}`;
  const model = runtime.models()[0]?.id ?? "";
  const request = create(GenerateRequestSchema, { requestId, model, sampling: { temperature: 0 }, ...init });
  const { prompt, thinking } = request;
  if (prompt === undefined) throw new Error("the request has no prompt");
  const signal = new AbortController().signal;
  const prepared = await runtime.prepare(model, prompt, signal, thinking);
  const read: Omit<Read, "finished"> = { text: "", reasoning: "", order: [], calls: "" };
  let finished: Finished | undefined;
  let deltas = 0;
  for await (const event of runtime.generate({ request, prepared, maxTokens }, signal)) {
    if (event.case === "finished") finished = event.value;
    if (event.case !== "delta") continue;
    const { part } = event.value;
    if (part.case !== read.order.at(-1)) read.order.push(part.case ?? "");
    if (part.case === "text") read.text += part.value;
    if (part.case === "reasoning") read.reasoning += part.value;
    if (part.case === "toolCall") read.calls += `${part.value.name}${part.value.arguments}`;
    onDelta?.(requestId, ++deltas);
  }
  if (finished === undefined) throw new Error("the generation had no end");
  return { ...read, finished };
}

const story = userPrompt("Tell me a long story about a dog.");

describe("a model that reasons", () => {
  it("says so", () => {
    expect(runtime.models()[0]?.capabilities).toContain(Capability.REASONING);
  });

  it("gives its thought apart from the answer, and counts it", async () => {
    const { text, reasoning, finished } = await ask({ prompt: story, stopping: { ignoreEos: true } });
    expect(text).toBe("");
    expect(reasoning.length).toBeGreaterThan(40);
    expect([finished.usage?.completionTokens, finished.usage?.reasoningTokens]).toEqual([60, 60]);
  });

  it("is closed at its budget, and then answers", async () => {
    for (const budgetTokens of [6, 12]) {
      const thinking = { budgetTokens };
      const { text, reasoning, order, finished } = await ask({
        prompt: story,
        thinking,
        stopping: { ignoreEos: true },
      });
      expect(finished.usage?.reasoningTokens).toBe(budgetTokens);
      expect(finished.usage?.completionTokens).toBe(60);
      expect(order).toEqual(["reasoning", "text"]);
      expect(text).not.toContain("think>");
      expect((await runtime.tokenize("", reasoning, false)).length).toBeLessThan(30);
    }
  });

  it("answers now when it is told to, once", async () => {
    const told: boolean[] = [];
    const { order, text } = await ask({ prompt: story, stopping: { ignoreEos: true } }, (id, deltas) => {
      if (deltas === 5 || deltas === 6) told.push(runtime.answerNow(id));
    });
    expect(told).toEqual([true, false]);
    expect(order).toEqual(["reasoning", "text"]);
    expect(text.length).toBeGreaterThan(20);
    expect(runtime.answerNow(`reasoning-${requests}`)).toBe(false);
  });

  it("answers at once when thinking is off", async () => {
    const { reasoning, text, finished } = await ask({ prompt: story, thinking: { mode: 2 } });
    expect(reasoning).toBe("");
    expect(text.length).toBeGreaterThan(40);
    expect(finished.usage?.reasoningTokens).toBe(0);
  });

  it("heeds stop strings in the answer, not in the thought", async () => {
    const stopStrings = ["a", "e"];
    const { reasoning, text, finished } = await ask({
      prompt: story,
      thinking: { budgetTokens: 12 },
      stopping: { ignoreEos: true, stopStrings },
    });
    expect(reasoning).toMatch(/[ae]/);
    expect(text).not.toMatch(/[ae]/);
    expect(finished.reason).toBe(FinishReason.STOP_SEQUENCE);
    expect(stopStrings).toContain(finished.stopSequence);
  });

  it("writes its document behind the thought", async () => {
    const schemaJson = JSON.stringify({
      type: "object",
      properties: { ok: { type: "boolean" } },
      required: ["ok"],
      additionalProperties: false,
    });
    const constraint = { kind: { case: "jsonSchema" as const, value: { name: "x", schemaJson } } };
    const asked = { prompt: story, thinking: { budgetTokens: 12 }, constraint };
    const { reasoning, text } = await ask(asked, undefined, documentTokens);
    expect(reasoning.length).toBeGreaterThan(5);
    expect(typeof JSON.parse(text).ok).toBe("boolean");
  });

  it("makes its call behind the thought", async () => {
    const properties = { n: { type: "integer" } };
    const parametersJson = JSON.stringify({ type: "object", properties, required: ["n"], additionalProperties: false });
    const messages = [{ role: 3, content: "Set it." }];
    const chat = {
      messages,
      tools: [{ name: "set", parametersJson }],
      toolChoice: { mode: 3 },
      parallelToolCalls: false,
    };
    const asked = { prompt: { form: { case: "chat" as const, value: chat } }, thinking: { budgetTokens: 12 } };
    const { order, calls, finished } = await ask(asked, undefined, documentTokens);
    expect(order).toEqual(["reasoning", "toolCall"]);
    expect(typeof JSON.parse(calls.slice("set".length)).n).toBe("number");
    expect(finished.reason).toBe(FinishReason.TOOL_CALLS);
  });
});
