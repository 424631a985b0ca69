// Prompt lookup on the real model: the same answer at temperature 0, in fewer steps, with its guesses counted.
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { defaultModelRuntime } from "../support/default-model.ts";
import { generate, userPrompt } from "../support/generate.ts";

let plain: Runtime;
let guessing: Runtime;
beforeAll(async () => {
  plain = await defaultModelRuntime({ sequences: 2 });
  guessing = await defaultModelRuntime({ sequences: 2, guessTokensMax: 6 });
  await Promise.all([plain.start(), guessing.start()]);
}, 60_000);
afterAll(() => Promise.all([plain.close(), guessing.close()]));

const sampling = { temperature: 0 };

it("an answer at temperature 0 is the same with guesses", async () => {
  const prompt = userPrompt("What is the capital of France?");
  const without = await generate(plain, prompt, 24, { sampling });
  const withGuesses = await generate(guessing, prompt, 24, { sampling });
  expect(withGuesses.text).toBe(without.text);
  expect(without.finished.usage).toMatchObject({ acceptedPredictionTokens: 0, rejectedPredictionTokens: 0 });
});

it("an answer that repeats the prompt is guessed in part", async () => {
  const list = "red apples, green pears, blue plums, white grapes, black cherries";
  const prompt = userPrompt(`Repeat this list word for word, twice: ${list}. ${list}. ${list}.`);
  const { finished } = await generate(guessing, prompt, 60, { sampling });
  const { acceptedPredictionTokens: right = 0, rejectedPredictionTokens: wrong = 0 } = finished.usage ?? {};
  expect(right).toBeGreaterThan(5);
  expect(wrong).toBeGreaterThanOrEqual(0);
  expect(finished.usage?.completionTokens).toBeGreaterThan(right);
});
