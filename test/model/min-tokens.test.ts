// The least number of tokens on the real model: no end before it, the model's own end after it.
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { FinishReason } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { generate, userPrompt } from "../support/generate.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await defaultModelRuntime();
  await runtime.start();
});
afterAll(() => runtime.close());

const prompt = userPrompt("What is the capital of France?");

it.each([
  ["greedy", { temperature: 0 }],
  ["sampled with penalties", { temperature: 0.3, seed: 5n, presencePenalty: 0.2 }],
])("%s, the answer does not end before so many tokens, and may end after them", async (_name, sampling) => {
  const short = await generate(runtime, prompt, 40, { sampling });
  const ended = short.finished.usage?.completionTokens ?? 0;
  expect(short.finished.reason).toBe(FinishReason.STOP);
  expect(ended).toBeLessThan(20);
  const long = await generate(runtime, prompt, 400, { sampling, stopping: { minTokens: 20 } });
  expect(long.finished.usage?.completionTokens).toBeGreaterThanOrEqual(20);
  expect(long.finished.reason).toBe(FinishReason.STOP);
});
