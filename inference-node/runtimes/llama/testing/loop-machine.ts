// A step loop over the fake engine for tests, driven as the child drives it, with a clock that only work moves.
import { countPieces } from "../batch-pieces.ts";
import type { GenerateOptions, GenerationEvent } from "../protocol.ts";
import { StateStore } from "../state-store.ts";
import { StepLoop } from "../step-loop.ts";
import { type FakeEngineOptions, fakeEngine } from "./fake-engine.ts";

export interface Ended {
  answer: number[];
  promptTokens: number;
  cachedTokens: number;
}

export interface LoopMachineOptions extends Partial<FakeEngineOptions> {
  /** Where states would lie. */
  readonly dir: string;
  readonly bytesMax: number;
  /** Milliseconds that a step takes for each piece of its batch, besides 5 a token. */
  readonly pieceMs?: number;
  /** Milliseconds that a save or a load takes. */
  readonly copyMs?: number;
}

const idleRoundsMax = 100;

const defaults = { sequences: 4, contextLength: 4096, batchTokens: 512 };

export function loopMachine({ dir, bytesMax, pieceMs = 0, copyMs = 0, ...overrides }: LoopMachineOptions) {
  let computed = 0;
  let nowMs = 0;
  let idleRounds = 0;
  const { engine, context } = fakeEngine({
    ...defaults,
    ...overrides,
    onStep: async (batch) => {
      const tokens = batch.reduce((sum, item) => sum + item.tokens, 0);
      computed += tokens;
      idleRounds = 0;
      nowMs += 5 * tokens + pieceMs * countPieces(new Set(batch.map(({ sequence }) => sequence)));
      await overrides.onStep?.(batch);
    },
    onCopy: (what, path) => {
      nowMs += copyMs;
      overrides.onCopy?.(what, path);
    },
  });
  const warnings: string[] = [];
  const store = new StateStore({
    context,
    contextLength: 4096,
    dir,
    bytesMax,
    spill: undefined,
    warn: (sentence) => warnings.push(sentence),
  });
  const waiting = new Map<number, { text: string; cached: number; resolve: (ended: Ended | "cancelled") => void }>();
  const fatal = Promise.withResolvers<never>();
  const loop = new StepLoop({
    engine,
    store,
    nowMs: () => nowMs,
    emit: (events: GenerationEvent[]) => {
      idleRounds += 1;
      // Rounds without a step never let go of the thread: a test that meets them without an end would not even time out.
      if (idleRounds > idleRoundsMax) throw new Error("the loop goes round and computes nothing");
      for (const event of events) {
        const entry = waiting.get(event.key);
        if (entry === undefined) throw new Error(`an event of no request: ${event.type}`);
        if (event.type === "prefilled") entry.cached = event.cachedTokens;
        if (event.type === "delta") entry.text += event.text;
        if (event.type === "failed") fatal.reject(new Error(event.message));
        if (event.type === "cancelled" || event.type === "finished") waiting.delete(event.key);
        if (event.type === "cancelled") entry.resolve("cancelled");
        if (event.type === "finished") {
          const answer = entry.text.split(" ").filter(Boolean).map(Number);
          entry.resolve({ answer, promptTokens: 0, cachedTokens: entry.cached });
        }
      }
    },
    onFatal: fatal.reject,
  });
  let nextKey = 1;
  const start = (tokens: readonly number[], options: Partial<GenerateOptions> = {}) => {
    const key = nextKey++;
    const ended = new Promise<Ended | "cancelled">((resolve) => waiting.set(key, { text: "", cached: 0, resolve }));
    loop.add(key, { ...requestOptions, requestId: String(key), tokens: Uint32Array.from(tokens), ...options });
    return { key, ended: Promise.race([ended, fatal.promise]) };
  };
  const run = async (tokens: readonly number[], options: Partial<GenerateOptions> = {}): Promise<Ended> =>
    (await start(tokens, options).ended) as Ended;
  return { run, start, cancel: (key: number) => loop.cancel(key), computed: () => computed, warnings, store };
}

/** What most requests here have in common. */
export const requestOptions = {
  maxTokens: 8,
  limitedByContext: false,
  sampling: { logitBias: [], ignoreEos: false } as unknown as GenerateOptions["sampling"],
  visibleTokens: [],
  stopStrings: [],
  stopTokenIds: [],
  logprobs: undefined,
  promptLogprobs: undefined,
  prefixSalt: "a",
  deterministic: false,
  guessTokensMax: 0,
};

/** Tokens that have nothing in common with those of another seed. */
export function tokens(length: number, seed = 1): number[] {
  return Array.from({ length }, (_, i) => 1 + ((i * 7 + seed * 13) % 59));
}
