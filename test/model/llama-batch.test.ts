// Sequences that share a batch do not touch each other: each stream's tokens, scored alone afterwards, are as likely as
// when they were sampled. Equality of text is no test, since batched kernels round differently at near-ties.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { defaultModelRuntime } from "../support/default-model.ts";
import { type Generated, generate, tokenPrompt, userPrompt } from "../support/generate.ts";

/**
 * Natural-log units, of one stream's tokens. Kernels that round by the shape of the batch shift a log-probability by
 * hundredths, an unlikely token's by tenths (0.00 with AVX-512, up to 0.33 with AVX2); a token of another stream's
 * distribution is off by several units, as the last test shows.
 */
const tolerance = { mean: 0.25, largest: 1 };

const topics = ["dogs", "the sea", "old maps", "bread", "rain", "trains", "music", "winter"];
const lengths = [3, 20, 7, 33, 12, 28, 5, 16, 40, 9, 24, 14, 31, 6, 18, 22];

/** Prompts of unequal lengths; `chunked` makes some longer than one prefill chunk. */
function prompts(chunked: boolean): string[] {
  return lengths.map((length, i) => {
    const topic = topics[i % topics.length];
    const filler = chunked && i % 3 === 0 ? `Think of ${topic}, ${i} times over. `.repeat(9) : "";
    return `${filler}Write ${length} words about ${topic}. Story number ${i}.`;
  });
}

interface Difference {
  mean: number;
  largest: number;
}

function differenceOf(scored: readonly { logprob: number }[], sampled: Generated["logprobs"]): Difference {
  const differences = scored.map(({ logprob }, i) => Math.abs(logprob - (sampled[i]?.logprob ?? Number.NaN)));
  const sum = differences.reduce((total, difference) => total + difference, 0);
  return { mean: sum / differences.length, largest: Math.max(...differences) };
}

/** Scores the stream's tokens after a prompt in one prefill, with nothing else in the batch. */
async function differenceAlone(runtime: Runtime, content: string, generated: Generated): Promise<Difference> {
  const ids = generated.logprobs.map(({ tokenId }) => tokenId);
  const prompt = await promptTokens(runtime, content);
  const alone = await generate(runtime, tokenPrompt([...prompt, ...ids]), 1, {
    sampling: { temperature: 0 },
    logprobs: { prompt: true },
  });
  const scored = alone.prefilled.promptLogprobs.slice(prompt.length - 1);
  expect(scored.map(({ tokenId }) => tokenId)).toEqual(ids);
  return differenceOf(scored, generated.logprobs);
}

async function promptTokens(runtime: Runtime, content: string): Promise<number[]> {
  const text = `<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n`;
  return [...(await runtime.tokenize(runtime.models()[0]?.id ?? "", text, true))];
}

describe("16 streams in one batch", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await defaultModelRuntime();
    await runtime.start();
  });
  afterAll(() => runtime.close());

  it.each([
    ["whose prompts fit one chunk", false],
    ["whose prompts are prefilled in several chunks", true],
  ])(
    "%s sample each from its own distribution",
    async (_name, chunked) => {
      const contents = prompts(chunked);
      const streams = await Promise.all(
        contents.map((content, i) =>
          generate(runtime, userPrompt(content), lengths[i] ?? 8, {
            sampling: { temperature: 1, seed: BigInt(i + 1) },
            stopping: { ignoreEos: true },
            logprobs: { output: true, top: 0 },
          }),
        ),
      );
      const differences: Difference[] = [];
      for (const [i, stream] of streams.entries()) {
        expect(stream.finished.usage?.completionTokens).toBe(lengths[i]);
        expect(stream.logprobs.length).toBe(lengths[i]);
        expect(await promptTokens(runtime, contents[i] ?? "")).toHaveLength(stream.prefilled.promptTokens);
        differences.push(await differenceAlone(runtime, contents[i] ?? "", stream));
      }
      const most = (of: keyof Difference): number => Math.max(...differences.map((difference) => difference[of]));
      const figures = `mean ${most("mean").toFixed(4)}, largest ${most("largest").toFixed(4)}`;
      console.log(`difference in log-probability, worst stream: ${figures} (tolerance ${JSON.stringify(tolerance)})`);
      expect(most("mean")).toBeLessThan(tolerance.mean);
      expect(most("largest")).toBeLessThan(tolerance.largest);
    },
    180_000,
  );

  it("would be told apart from a neighbour's: the tolerance is not too wide", async () => {
    const contents = prompts(false);
    for (const [i, content] of contents.entries()) {
      const stream = await generate(runtime, userPrompt(content), lengths[i] ?? 8, {
        sampling: { temperature: 1, seed: BigInt(i + 1) },
        stopping: { ignoreEos: true },
        logprobs: { output: true, top: 0 },
      });
      const difference = await differenceAlone(runtime, contents[(i + 1) % contents.length] ?? "", stream);
      expect(difference.mean).toBeGreaterThan(tolerance.mean);
      expect(difference.largest).toBeGreaterThan(tolerance.largest);
    }
  }, 180_000);
});
