// Holds the native objects of node-llama-cpp that the step loop drives: a new version of it must pass this first.
import { setImmediate as nextTurn } from "node:timers/promises";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { type Addon, type AddonSampler, reachAddon } from "../../inference-node/runtimes/llama/addon.ts";

describe("the addon of node-llama-cpp 3.21.1", () => {
  let addon: Addon;
  let prompt: Uint32Array;

  beforeAll(async () => {
    const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
    const model = await llama.loadModel({ modelPath: (await resolveModel(DEFAULT_MODEL)).path });
    const context = await model.createContext({ sequences: 3, contextSize: 256, batchSize: 256, threads: 1 });
    addon = reachAddon(llama, model, context);
    prompt = addon.model.tokenize(
      "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
      true,
    );
  });

  /** Decodes the prompt on a sequence; gives the batch index of its last token's logits. */
  async function prefill(sequence: number): Promise<number> {
    addon.context.disposeSequence(sequence);
    addon.context.initBatch(prompt.length);
    const [index] = addon.context.addToBatch(sequence, 0, prompt, Uint32Array.of(prompt.length - 1));
    await addon.context.decodeBatch();
    return index as number;
  }

  it("tokenises control tokens as such only when told to, and text back to itself", () => {
    expect(addon.model.tokenize("<|im_end|>", true)).toHaveLength(1);
    expect(addon.model.tokenize("<|im_end|>", false).length).toBeGreaterThan(1);
    const text = "Grüße, 你好 👋";
    expect(addon.model.detokenize(addon.model.tokenize(text, false), false)).toBe(text);
  });

  it("knows control tokens by attribute 8 and tokens that end a generation", () => {
    const [end] = addon.model.tokenize("<|im_end|>", true);
    expect(addon.model.getTokenAttributes(end as number) & 8).toBe(8);
    expect(addon.model.getTokenString(end as number)).toBe("<|im_end|>");
    expect(addon.model.isEogToken(end as number)).toBe(true);
  });

  it("gives an index for exactly the tokens whose logits were asked for", () => {
    addon.context.disposeSequence(0);
    addon.context.initBatch(8);
    const indexes = addon.context.addToBatch(0, 0, Uint32Array.of(100, 101, 102, 103), Uint32Array.of(1, 3));
    expect([...indexes]).toEqual([1, 3]);
    expect([...addon.context.addToBatch(1, 0, Uint32Array.of(100), Uint32Array.of(0))]).toEqual([4]);
  });

  it("samples greedily at temperature 0, with the probability over the whole vocabulary", async () => {
    const index = await prefill(0);
    const greedy = addon.createSampler({ temperature: 0 });
    const token = await addon.context.sampleToken(index, greedy);
    expect(addon.model.detokenize(Uint32Array.of(token), false)).toBe("The");
    const [again, , probability] = await addon.context.sampleToken(index, greedy, false, true);
    const all = addon.createSampler({ temperature: 1, topK: 49_152, topP: 1, seed: 1 });
    const [, pairs] = await addon.context.sampleToken(index, all, true, false);
    expect(again).toBe(token);
    expect(pairs?.[0]).toBe(token);
    expect(probability).toBeCloseTo(pairs?.[1] ?? 0, 4);
  });

  it("draws the same tokens from a new sampler with the same seed", async () => {
    const index = await prefill(1);
    const draw = async (seed: number) => {
      const sampler = addon.createSampler({ temperature: 2, seed });
      const tokens = [];
      for (let i = 0; i < 8; i++) tokens.push(await addon.context.sampleToken(index, sampler));
      sampler.dispose();
      return tokens;
    };
    expect(await draw(7)).toEqual(await draw(7));
    expect(await draw(7)).not.toEqual(await draw(8));
  });

  it("decodes sequences together as it does alone", async () => {
    const alone = await addon.context.sampleToken(await prefill(0), addon.createSampler({ temperature: 0 }));
    for (const sequence of [0, 1, 2]) addon.context.disposeSequence(sequence);
    addon.context.initBatch(prompt.length * 3);
    const indexes = [0, 1, 2].map((sequence) => {
      const [index] = addon.context.addToBatch(sequence, 0, prompt, Uint32Array.of(prompt.length - 1));
      return index as number;
    });
    await addon.context.decodeBatch();
    for (const index of indexes) {
      expect(await addon.context.sampleToken(index, addon.createSampler({ temperature: 0 }))).toBe(alone);
    }
  });

  it("moves a grammar's state on with what is drawn, and copies one that was begun before", async () => {
    const index = await prefill(0);
    const [one, two] = [addon.grammars.begin('root ::= "ab" | "cd"'), addon.grammars.begin('root ::= "ab" | "cd"')];
    const [a, b, c, end] = ["a", "b", "c", "<|im_end|>"].map((text) => addon.model.tokenize(text, true)[0] as number);
    const may = (state: typeof one) => [a, b, c, end].map((token) => addon.grammars.mayBeNext(state, token as number));
    expect(may(one)).toEqual([true, false, true, false]);
    addon.grammars.accept(one, a as number);
    expect(may(one)).toEqual([false, true, false, false]);
    expect(may(two)).toEqual([true, false, true, false]);
    addon.grammars.accept(one, b as number);
    expect(may(one)).toEqual([false, false, false, true]);
    const sampler = addon.createSampler({ temperature: 0, grammarEvaluationState: two });
    const drawn = await addon.context.sampleToken(index, sampler);
    expect(["a", "ab", "c", "cd"]).toContain(addon.model.detokenize(Uint32Array.of(drawn), false));
    expect(addon.grammars.mayBeNext(two, drawn)).toBe(false);
    // It draws some token or other when none is left, and then has no state.
    const ends = Array.from({ length: 49_152 }, (_, id) => id).filter((id) => addon.model.isEogToken(id));
    const complete = addon.createSampler({
      temperature: 1,
      seed: 1,
      grammarEvaluationState: one,
      tokenBiasKeys: Uint32Array.from(ends),
      tokenBiasValues: Float32Array.from(ends, () => -Infinity),
    });
    await expect(addon.context.sampleToken(index, complete)).rejects.toThrow("empty grammar stack");
  });

  it("does not take a text that is no grammar", () => {
    expect(() => addon.grammars.begin('root ::= "a')).toThrow("parse");
  });

  it("gives back the memory of samplers that were disposed, though V8 knows nothing of it", async () => {
    const running: AddonSampler[] = [];
    const before = process.memoryUsage.rss();
    for (let index = 0; index < 1_500; index += 1) {
      running.push(addon.createSampler({ temperature: 1, seed: index }));
      // As long as a request lasts: long enough to outlive the young generation.
      if (running.length > 32) running.shift()?.dispose();
      if (index % 50 === 0) await nextTurn();
    }
    // 1,500 of them have 0.6 MB each.
    expect(process.memoryUsage.rss() - before).toBeLessThan(200e6);
  });
});
