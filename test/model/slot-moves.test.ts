// A stream that moves to another slot of the real model goes on as if it had stayed: each token is as likely as in one go.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { anyDevice } from "../../inference-node/runtimes/llama/config.ts";
import { type Engine, loadEngine } from "../../inference-node/runtimes/llama/engine.ts";
import type { GenerateOptions, GenerationEvent, TokenScore } from "../../inference-node/runtimes/llama/protocol.ts";
import { StateStore } from "../../inference-node/runtimes/llama/state-store.ts";
import { StepLoop } from "../../inference-node/runtimes/llama/step-loop.ts";

/** Natural-log units: batches of other shapes round otherwise, see llama-batch.test.ts. */
const tolerance = { mean: 0.25, largest: 1 };

const dir = mkdtempSync(join(tmpdir(), "sluice-moves-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let engine: Engine;
beforeAll(async () => {
  const modelPath = (await resolveModel(DEFAULT_MODEL)).path;
  engine = await loadEngine(
    {
      modelPath,
      threads: 1,
      sequences: 4,
      contextLength: 512,
      batchTokens: undefined,
      kvMemoryMb: undefined,
      chatTemplate: undefined,
      device: { ...anyDevice, gpu: "cpu" },
      prefixCache: { dir, bytesMax: 0, spill: undefined },
    },
    () => undefined,
  );
}, 60_000);

const greedy: Omit<GenerateOptions, "requestId" | "tokens" | "maxTokens"> = {
  limitedByContext: false,
  sampling: {
    temperature: 0,
    topP: 1,
    topK: 0,
    minP: 0,
    presencePenalty: 0,
    frequencyPenalty: 0,
    repetitionPenalty: 1,
    seed: 1,
    logitBias: [],
    ignoreEos: true,
    minTokens: 0,
  },
  visibleTokens: [],
  stopStrings: [],
  stopTokenIds: [],
  logprobs: { top: 0 },
  promptLogprobs: undefined,
  prefixSalt: undefined,
  guessTokensMax: 0,
  deterministic: false,
};

interface Said {
  scores: TokenScore[];
  promptScores: readonly TokenScore[];
}

/** A step loop on the engine, and the slots to which sequences moved. */
function loopOfEngine() {
  const { context } = engine.addon;
  const moves: number[] = [];
  const store = new StateStore({
    context: {
      saveSequenceStateToFile: (path, slot, tokens) => context.saveSequenceStateToFile(path, slot, tokens),
      loadSequenceStateFromFile: (path, slot, contextLength) => {
        moves.push(slot);
        return context.loadSequenceStateFromFile(path, slot, contextLength);
      },
    },
    contextLength: engine.info.contextLength,
    dir,
    bytesMax: 0,
    spill: undefined,
    warn: (sentence) => {
      throw new Error(sentence);
    },
  });
  const said = new Map<number, Said & { resolve: (said: Said) => void }>();
  const fatal = Promise.withResolvers<never>();
  const emit = (events: readonly GenerationEvent[]): void => {
    for (const event of events) {
      const entry = said.get(event.key);
      if (entry === undefined) continue;
      if (event.type === "prefilled") entry.promptScores = event.scores;
      if (event.type === "delta") entry.scores.push(...event.scores);
      if (event.type === "finished") entry.resolve(entry);
      if (event.type === "failed") fatal.reject(new Error(event.message));
    }
  };
  const loop = new StepLoop({ engine, store, emit, onFatal: fatal.reject });
  const say = (key: number, tokens: Uint32Array, maxTokens: number, more: Partial<GenerateOptions> = {}) => {
    const ended = new Promise<Said>((resolve) => said.set(key, { scores: [], promptScores: [], resolve }));
    loop.add(key, { ...greedy, requestId: String(key), tokens, maxTokens, ...more });
    return Promise.race([ended, fatal.promise]);
  };
  return { say, moves };
}

it("a stream goes on in the gap that another left, with tokens as likely as when all are computed anew", async () => {
  const { say, moves } = loopOfEngine();
  const ask = (content: string) =>
    engine.tokenize(
      `<|im_start|>user\n${content}<|im_end|>\n<|im_start|>assistant\n`,
      true,
      new AbortController().signal,
    );
  const prompts = await Promise.all(
    ["Tell me about lighthouses.", "Name a colour.", "Write about a small harbour town."].map(ask),
  );
  // The middle one ends first.
  const lengths = [64, 12, 64];
  const answers = await Promise.all(
    prompts.map((prompt, i) => say(i + 1, prompt as Uint32Array, lengths[i] as number)),
  );
  expect(moves).toHaveLength(1);
  for (const [i, { scores }] of answers.entries()) {
    const prompt = prompts[i] as Uint32Array;
    expect(scores).toHaveLength(lengths[i] as number);
    const whole = Uint32Array.from([...prompt, ...scores.map(({ id }) => id)]);
    const alone = await say(10 + i, whole, 1, { promptLogprobs: { top: 0 } });
    const differences = alone.promptScores
      .slice(prompt.length - 1)
      .map(({ logprob }, n) => Math.abs(logprob - (scores[n]?.logprob ?? Number.NaN)));
    expect(differences).toHaveLength(scores.length);
    expect(Math.max(...differences)).toBeLessThan(tolerance.largest);
    expect(differences.reduce((sum, difference) => sum + difference, 0) / scores.length).toBeLessThan(tolerance.mean);
  }
}, 120_000);
