// Reused prompts on the real model: what follows is as likely as without reuse, and what was reused is told.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { defaultModelRuntime } from "../support/default-model.ts";
import { type Generated, generate, tokenPrompt, userPrompt } from "../support/generate.ts";

/** Natural-log units: batches of other shapes round otherwise, see llama-batch.test.ts. */
const tolerance = { mean: 0.25, largest: 1 };

/** What every prompt has in common with any other: the template's first words. */
const fewTokens = 10;

const story = "Once there was a lighthouse keeper who kept a careful diary of ships, storms and birds. ".repeat(8);

let runtime: Runtime;
beforeAll(async () => {
  runtime = await defaultModelRuntime();
  await runtime.start();
});
afterAll(() => runtime.close());

const sampled = { sampling: { temperature: 0 }, logprobs: { output: true, top: 0 } } as const;

/** Scores an answer's tokens after its prompt, all computed anew. */
async function expectAsLikely(prompt: readonly number[], answer: Generated): Promise<void> {
  const ids = answer.logprobs.map(({ tokenId }) => tokenId);
  const alone = await generate(runtime, tokenPrompt([...prompt, ...ids]), 1, {
    sampling: { temperature: 0 },
    logprobs: { prompt: true },
    prefixCache: { disabled: true },
  });
  expect(alone.prefilled.cachedTokens).toBe(0);
  const scored = alone.prefilled.promptLogprobs.slice(prompt.length - 1);
  const differences = scored.map(({ logprob }, i) => Math.abs(logprob - (answer.logprobs[i]?.logprob ?? Number.NaN)));
  expect(Math.max(...differences)).toBeLessThan(tolerance.largest);
  expect(differences.reduce((sum, difference) => sum + difference, 0) / differences.length).toBeLessThan(
    tolerance.mean,
  );
}

async function chatTokens(content: string): Promise<number[]> {
  const text = `<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n`;
  return [...(await runtime.tokenize(runtime.models()[0]?.id ?? "", text, true))];
}

describe("a chat's next turn", () => {
  it("takes the first turn from its slot", async () => {
    const first = await generate(runtime, userPrompt(`${story}Who kept the diary?`), 12, sampled);
    expect(first.prefilled.cachedTokens).toBeLessThan(fewTokens);
    const tokens = await chatTokens(`${story}Who kept the diary?`);
    const second = [...tokens, ...first.logprobs.map(({ tokenId }) => tokenId), ...(await chatTokens("Where?"))];
    const answer = await generate(runtime, tokenPrompt(second), 12, sampled);
    expect(answer.prefilled.cachedTokens).toBeGreaterThanOrEqual(tokens.length);
    expect(answer.finished.usage?.cachedTokens).toBe(answer.prefilled.cachedTokens);
    await expectAsLikely(second, answer);
  });
});

describe("prompts that come together", () => {
  it("share what they begin with, and each goes on from its own end", async () => {
    const contents = Array.from({ length: 4 }, (_, i) => `${story.slice(40)}Question ${i}: name ${i + 2} of them.`);
    const answers = await Promise.all(contents.map((content) => generate(runtime, userPrompt(content), 12, sampled)));
    const computed = answers.filter(({ prefilled }) => prefilled.cachedTokens < fewTokens);
    expect(computed).toHaveLength(1);
    for (const [i, answer] of answers.entries()) await expectAsLikely(await chatTokens(contents[i] ?? ""), answer);
  }, 120_000);

  it("of another tenant share nothing", async () => {
    const content = `${story.slice(80)}Whose lighthouse?`;
    const salts = ["a", "b"];
    const answers = await Promise.all(
      salts.map((salt) => generate(runtime, userPrompt(content), 2, { ...sampled, prefixCache: { salt } })),
    );
    expect(answers.map(({ prefilled }) => prefilled.cachedTokens)).toEqual([0, 0]);
  });
});

describe("a deterministic request", () => {
  it("says the same alone and among fifteen noisy neighbours", async () => {
    const ask = () =>
      generate(runtime, userPrompt("Describe a small harbour town."), 24, {
        sampling: { temperature: 1.2, seed: 42n },
        deterministic: true,
      });
    const alone = await ask();
    const noise = Array.from({ length: 15 }, (_, i) =>
      generate(runtime, userPrompt(`${story.slice(0, 40 * i)}Tell me about noise ${i}.`), 10 + i, {
        sampling: { temperature: 1, seed: BigInt(i) },
        stopping: { ignoreEos: true },
      }),
    );
    const among = await ask();
    await Promise.all(noise);
    expect(among.text).toBe(alone.text);
    expect((await ask()).text).toBe(alone.text);
    expect(among.prefilled.cachedTokens).toBe(0);
  }, 180_000);
});
