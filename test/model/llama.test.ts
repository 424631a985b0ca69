// The native runtime on the default model: its sampling, its probabilities, its bounds, and its death.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { FinishReason, type TokenLogprob } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { generate, userPrompt } from "../support/generate.ts";

const question = userPrompt("What is the capital of France?");
const story = userPrompt("Tell me a long story about a dog.");

describe("sampling", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await defaultModelRuntime({ sequences: 4 });
    await runtime.start();
  });
  afterAll(() => runtime.close());

  it("answers at temperature 0, ends by itself and counts its tokens", async () => {
    const { text, finished } = await generate(runtime, question, 40, { sampling: { temperature: 0 } });
    expect(text).toBe("The capital of France is Paris.");
    expect(finished.reason).toBe(FinishReason.STOP);
    const tokens = await runtime.tokenize("", text, false);
    expect(finished.usage?.completionTokens).toBe(tokens.length);
  });

  it("gives the same text for the same seed when alone, another for another, another each time without", async () => {
    const sample = async (seed?: bigint) => {
      const sampling = { temperature: 1, ...(seed === undefined ? {} : { seed }) };
      return (await generate(runtime, story, 16, { sampling, deterministic: true })).text;
    };
    const [first, again, other] = [await sample(11n), await sample(11n), await sample(12n)];
    expect(again).toBe(first);
    expect(other).not.toBe(first);
    expect(await sample()).not.toBe(await sample());
  });

  it("tells seeds apart that differ only above 32 bits", async () => {
    const sample = async (seed: bigint) =>
      (await generate(runtime, story, 16, { sampling: { temperature: 1, seed } })).text;
    expect(await sample(1n << 40n)).not.toBe(await sample(1n << 41n));
  });

  it("top_k 1, a tiny top_p and a high min_p each leave only the likeliest token", async () => {
    const greedy = (await generate(runtime, story, 12, { sampling: { temperature: 0 }, deterministic: true })).text;
    for (const narrow of [{ topK: 1 }, { topP: 1e-6 }, { minP: 1 }]) {
      const sampling = { temperature: 2, ...narrow };
      const { text } = await generate(runtime, story, 12, { sampling, deterministic: true });
      expect(text).toBe(greedy);
    }
  });

  it("a frequency penalty breaks a loop, and a repetition penalty keeps away from the prompt's words", async () => {
    const loop = userPrompt("Repeat: no no no no no no no no no no");
    const distinct = async (sampling: object) => {
      const { logprobs } = await generate(runtime, loop, 40, {
        sampling: { temperature: 0, ...sampling },
        stopping: { ignoreEos: true },
        logprobs: { output: true },
      });
      return new Set(logprobs.map(({ tokenId }) => tokenId)).size;
    };
    const plain = await distinct({});
    expect(await distinct({ frequencyPenalty: 2 })).toBeGreaterThan(plain);
    expect(await distinct({ repetitionPenalty: 1.5 })).toBeGreaterThan(plain);
  });

  it("logit_bias bans a token at -100 and forces it at 100", async () => {
    const [the] = await runtime.tokenize("", "The", false);
    const first = async (bias: number) => {
      const { logprobs } = await generate(runtime, question, 1, {
        sampling: { temperature: 0, logitBias: [{ tokenId: the as number, bias }] },
        logprobs: { output: true },
      });
      return logprobs[0]?.tokenId;
    };
    expect(await first(0)).toBe(the);
    expect(await first(-100)).not.toBe(the);
    expect(await first(100)).toBe(the);
  });

  it("ignore_eos goes on to max_tokens, and says length", async () => {
    const { finished } = await generate(runtime, question, 30, {
      sampling: { temperature: 0 },
      stopping: { ignoreEos: true },
    });
    expect(finished.usage?.completionTokens).toBe(30);
    expect(finished.reason).toBe(FinishReason.LENGTH);
  });

  it("a stop token ends the text before itself", async () => {
    const [paris] = await runtime.tokenize("", " Paris", false);
    const { text, finished } = await generate(runtime, question, 30, {
      sampling: { temperature: 0 },
      stopping: { stopTokenIds: [paris as number] },
    });
    expect(text).toBe("The capital of France is");
    expect(finished.reason).toBe(FinishReason.STOP_SEQUENCE);
  });
});

describe("log-probabilities", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await defaultModelRuntime({ sequences: 2 });
    await runtime.start();
  });
  afterAll(() => runtime.close());

  const scored = async (sampling: object, top: number): Promise<TokenLogprob[]> =>
    (await generate(runtime, story, 6, { sampling, logprobs: { output: true, top }, deterministic: true })).logprobs;

  it("are the model's own, whatever temperature and penalties sampled the token", async () => {
    const hot = await scored({ temperature: 2, seed: 5n, topK: 3, frequencyPenalty: 1 }, 20);
    const cold = await scored({ temperature: 0 }, 20);
    const at = (list: TokenLogprob[], id: number | undefined) => list[0]?.top.find((entry) => entry.tokenId === id);
    // The first position has the same distribution in both.
    expect(hot[0]?.top[0]?.logprob).toBeCloseTo(cold[0]?.top[0]?.logprob ?? 0, 4);
    expect(at(cold, hot[0]?.tokenId)?.logprob).toBeCloseTo(hot[0]?.logprob ?? 0, 4);
  });

  it("come likeliest first, as many as asked for, and never sum to more than 1", async () => {
    for (const { top } of await scored({ temperature: 1, seed: 1n }, 20)) {
      const values = top.map(({ logprob }) => logprob);
      expect(values).toHaveLength(20);
      expect(values).toEqual([...values].sort((a, b) => b - a));
      expect(values.reduce((sum, value) => sum + Math.exp(value), 0)).toBeLessThanOrEqual(1.0001);
    }
  });

  it("are how often the model draws each token", async () => {
    const ask = userPrompt("Name a colour in one word.");
    const { logprobs } = await generate(runtime, ask, 1, { logprobs: { output: true, top: 5 }, deterministic: true });
    const draws = 200;
    const counts = new Map<number, number>();
    for (let seed = 0; seed < draws; seed++) {
      const drawn = await generate(runtime, ask, 1, {
        sampling: { temperature: 1, seed: BigInt(seed) },
        logprobs: { output: true },
      });
      const id = drawn.logprobs[0]?.tokenId ?? -1;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const { tokenId, logprob } of logprobs[0]?.top ?? []) {
      const expected = draws * Math.exp(logprob);
      const deviation = Math.sqrt(expected * (1 - Math.exp(logprob)));
      // Five standard deviations, and what rounding in other batches may shift.
      expect(Math.abs((counts.get(tokenId) ?? 0) - expected)).toBeLessThan(5 * deviation + 0.05 * draws);
    }
  }, 120_000);

  it("exist for tokens far outside the top", async () => {
    const rare = await generate(runtime, story, 30, {
      sampling: { temperature: 2, seed: 9n },
      stopping: { ignoreEos: true },
      logprobs: { output: true, top: 1 },
    });
    for (const { logprob } of rare.logprobs) expect(Number.isFinite(logprob)).toBe(true);
    expect(Math.min(...rare.logprobs.map(({ logprob }) => logprob))).toBeLessThan(-8);
  });
});

describe("a child that dies", () => {
  let runtime: Runtime;
  let entries: LogEntry[];
  beforeEach(async () => {
    entries = [];
    runtime = await defaultModelRuntime({ sequences: 4, entries });
    await runtime.start();
  });
  afterEach(() => runtime.close());

  const childPid = () => entries.filter(({ event }) => event === "runtime.started").at(-1)?.pid as number;
  const state = () => runtime.models()[0]?.state;

  async function until(condition: () => boolean): Promise<void> {
    for (let i = 0; i < 600 && !condition(); i++) await sleep(25);
    expect(condition()).toBe(true);
  }

  it("takes its streams with it, retryably, is replaced, and the next request is answered", async () => {
    const streams = [1, 2, 3].map(() => generate(runtime, story, 400, { stopping: { ignoreEos: true } }));
    const outcomes = Promise.allSettled(streams);
    await sleep(600);
    const first = childPid();
    process.kill(first, "SIGKILL");
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { code: Code.UNAVAILABLE, retryAfterMs: expect.any(Number) },
      });
    }
    expect(state()).not.toBe(ModelState.READY);
    await expect(generate(runtime, question, 5)).rejects.toMatchObject({ code: Code.UNAVAILABLE });
    await until(() => state() === ModelState.READY);
    expect(childPid()).not.toBe(first);
    const { text } = await generate(runtime, question, 12, { sampling: { temperature: 0 } });
    expect(text).toContain("Paris");
  });

  it("is restarted again and again, with a pause that grows", async () => {
    for (let i = 0; i < 3; i++) {
      process.kill(childPid(), "SIGKILL");
      await until(() => state() !== ModelState.READY);
      await until(() => state() === ModelState.READY);
    }
    const died = entries.filter(({ event }) => event === "runtime.died");
    expect(died).toHaveLength(3);
    expect(died[0]).toMatchObject({ signal: "SIGKILL", level: "error" });
  });

  it("leaves no child behind when the runtime is closed", async () => {
    const pid = childPid();
    await runtime.close();
    expect(() => process.kill(pid, 0)).toThrow();
  });
});
