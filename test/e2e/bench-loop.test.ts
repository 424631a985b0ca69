// The benchmark's bare decode loop on the real engine and model: what every ratio is measured against.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoopTarget } from "../../bench/loop-target.ts";
import { modelPathOf } from "../../bench/model-path.ts";
import { makePrompt } from "../../bench/prompts.ts";

const never = new AbortController().signal;
const sampling = { maxTokens: 12, temperature: 0, ignoreEos: false };
let loop: LoopTarget;

beforeAll(async () => {
  const modelPath = await modelPathOf(undefined, never);
  loop = new LoopTarget({ modelPath, threads: 1, sequences: 3, contextLength: 512, batchTokens: 128 });
  await loop.open(never);
});

afterAll(() => loop.close());

describe("the bare decode loop", () => {
  it("counts a chat prompt as the model's template makes it, system prompt and all", async () => {
    const empty = (await loop.countPromptTokens("", never)) ?? 0;
    const more = (await loop.countPromptTokens("time year people way", never)) ?? 0;
    expect(empty).toBeGreaterThan(8);
    expect(more - empty).toBe(4);
  });

  it("generates every token that was asked for, for all streams together and one prompt after another", async () => {
    const prompts = Array.from({ length: 4 }, (_, ordinal) =>
      makePrompt({ seed: 1, wordCount: 30 + ordinal * 7, sharedWords: 0 }, ordinal),
    );
    const [a = "", b = "", c = "", d = ""] = prompts;
    const record = await loop.round({ streams: [[a, d], [b], [c]], sampling }, never);
    expect(record.requests).toBe(4);
    expect(record.completionTokens).toBe(4 * sampling.maxTokens);
    expect(record.tokensPerSecond).toBeGreaterThan(1);
    expect(record.ttft.count).toBe(4);
  });

  it("refuses what does not fit its context with a sentence, and goes on", async () => {
    const long = makePrompt({ seed: 1, wordCount: 600, sharedWords: 0 }, 0);
    await expect(loop.round({ streams: [[long]], sampling }, never)).rejects.toThrow(/does not fit a context of 512/);
    expect((await loop.round({ streams: [["Hello"]], sampling }, never)).requests).toBe(1);
  });
});
