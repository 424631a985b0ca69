// Several answers to one prompt on the real model: one prefill, each its own, the likeliest when they are chosen.
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Runtime, RuntimeEvent } from "../../inference-node/runtime.ts";
import { type Delta, FinishReason, GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { PromptSchema } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { type GenerateRequestInit, generate, userPrompt } from "../support/generate.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await defaultModelRuntime();
  await runtime.start();
});
afterAll(() => runtime.close());

const content = `${"The harbour was quiet that morning, and the boats lay still. ".repeat(8)}Go on with the story.`;

async function events(init: Partial<GenerateRequestInit>, maxTokens = 12): Promise<RuntimeEvent[]> {
  const model = runtime.models()[0]?.id ?? "";
  const prompt = init.prompt ?? userPrompt(content);
  const request = create(GenerateRequestSchema, { requestId: `choices-${Math.random()}`, model, prompt, ...init });
  const signal = new AbortController().signal;
  const prepared = await runtime.prepare(model, create(PromptSchema, prompt), signal);
  const seen: RuntimeEvent[] = [];
  for await (const event of runtime.generate({ request, prepared, maxTokens }, signal)) seen.push(event);
  return seen;
}

const deltasOf = (seen: readonly RuntimeEvent[]): Delta[] =>
  seen.flatMap((event) => (event.case === "delta" ? [event.value] : []));

function textsOf(seen: readonly RuntimeEvent[], count: number): string[] {
  const texts = Array.from({ length: count }, () => "");
  for (const { choiceIndex, part } of deltasOf(seen)) if (part.case === "text") texts[choiceIndex] += part.value;
  return texts;
}

const finishedOf = (seen: readonly RuntimeEvent[]) => {
  const last = seen.at(-1);
  if (last?.case !== "finished") throw new Error("the last event is no end");
  return last.value;
};

describe("n answers", () => {
  it("come from one prefill, differ, and each is what its own seed gives", async () => {
    const seen = await events({ choiceCount: 4, sampling: { temperature: 1, seed: 7n } });
    expect(seen.filter((event) => event.case === "prefilled")).toHaveLength(1);
    expect(seen.filter((event) => event.case === "finished")).toHaveLength(1);
    const finished = finishedOf(seen);
    expect(finished.choices.map(({ choiceIndex }) => choiceIndex)).toEqual([0, 1, 2, 3]);
    const texts = textsOf(seen, 4);
    expect(new Set(texts).size).toBe(4);
    expect(finished.usage?.completionTokens).toBeLessThanOrEqual(4 * 12);
    expect(deltasOf(seen).at(-1)?.completionTokens).toBeLessThanOrEqual(finished.usage?.completionTokens ?? 0);
    const [first] = seen;
    expect(first?.case === "prefilled" && first.value.promptTokens).toBe(finished.usage?.promptTokens);
  });

  it("share one prefill even when the prompt may share nothing with others", async () => {
    const before = await generate(runtime, userPrompt(content), 1);
    expect(before.finished.usage?.promptTokens).toBeGreaterThan(100);
    const seen = await events({ choiceCount: 3, prefixCache: { disabled: true }, sampling: { temperature: 1 } });
    expect(finishedOf(seen).usage?.cachedTokens).toBe(0);
    expect(finishedOf(seen).choices).toHaveLength(3);
  });
});

it.each([1, 6])(
  "each answer holds to the constraint by itself, also when the best of %i are chosen",
  async (bestOf) => {
    const constraint = { kind: { case: "regex", value: "[a-f]{3}-[0-9]{5}" } } as const;
    const seen = await events({ choiceCount: 3, bestOf, constraint, sampling: { temperature: 1 } }, 24);
    for (const text of textsOf(seen, 3)) expect(text).toMatch(/^[a-f]{3}-[0-9]{5}$/);
    expect(finishedOf(seen).choices.map(({ reason }) => reason)).toEqual(Array(3).fill(FinishReason.STOP));
  },
);

it("the best of several comes back, the others are paid for", async () => {
  const seen = await events({ bestOf: 5, choiceCount: 2, sampling: { temperature: 1.5, seed: 3n } });
  const { usage, choices } = finishedOf(seen);
  expect(choices).toHaveLength(2);
  expect(new Set(deltasOf(seen).map(({ choiceIndex }) => choiceIndex))).toEqual(new Set([0, 1]));
  expect(usage?.completionTokens).toBeGreaterThan(3 * 12);
  expect(deltasOf(seen).every(({ logprobs }) => logprobs.length === 0)).toBe(true);
});

it("a prompt is given back before each answer when asked for", async () => {
  const prompt = { form: { case: "text", value: "Once upon a time" } } as const;
  const seen = await events({ prompt, echo: true, choiceCount: 2, sampling: { temperature: 1, seed: 1n } }, 4);
  for (const text of textsOf(seen, 2)) expect(text.startsWith("Once upon a time")).toBe(true);
  expect(finishedOf(seen).usage?.completionTokens).toBeLessThanOrEqual(8);
});

it("an abort frees every slot", async () => {
  const controller = new AbortController();
  const model = runtime.models()[0]?.id ?? "";
  const prompt = userPrompt("Write a long poem about the sea.");
  const request = create(GenerateRequestSchema, { requestId: "abort", model, prompt, choiceCount: 16 });
  const prepared = await runtime.prepare(model, create(PromptSchema, prompt), controller.signal);
  const consume = async (): Promise<void> => {
    for await (const event of runtime.generate({ request, prepared, maxTokens: 200 }, controller.signal)) {
      if (event.case === "delta") controller.abort();
    }
  };
  await expect(consume()).rejects.toThrow();
  // All sixteen slots again.
  const seen = await events({ choiceCount: 16, sampling: { temperature: 1 } }, 2);
  expect(finishedOf(seen).choices.every(({ reason }) => reason !== FinishReason.UNSPECIFIED)).toBe(true);
});
