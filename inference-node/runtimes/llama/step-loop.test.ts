// Each step of the batch ends in one message, by which the node knows that the engine lives.
import { expect, test } from "vitest";
import type { Engine } from "./engine.ts";
import type { GenerateOptions, GenerationEvent } from "./protocol.ts";
import { StateStore } from "./state-store.ts";
import { StepLoop } from "./step-loop.ts";

const endOfGeneration = 0;

/** An engine whose answer to every prompt is its end. */
function silentEngine(onStep: (tokens: number) => void): Engine {
  return {
    info: { sequences: 2, batchTokens: 512, contextLength: 1024 },
    endOfGenerationTokens: [endOfGeneration],
    isEndOfGeneration: (token: number) => token === endOfGeneration,
    addon: {
      createSampler: () => ({ dispose: () => undefined }),
      context: {
        initBatch: onStep,
        addToBatch: (_sequence: number, _position: number, _tokens: Uint32Array, indexes: Uint32Array) => indexes,
        decodeBatch: async () => undefined,
        sampleToken: async () => endOfGeneration,
        disposeSequence: () => undefined,
      },
    },
  } as unknown as Engine;
}

const options = {
  tokens: new Uint32Array(400),
  maxTokens: 8,
  sampling: { logitBias: [] },
  stopStrings: [],
  stopTokenIds: [],
} as unknown as GenerateOptions;

test("a step that only took in a piece of a prompt says so too", async () => {
  const said: string[] = [];
  const stepTokens: number[] = [];
  await new Promise<void>((resolve, reject) => {
    const emit = (events: GenerationEvent[]): void => {
      said.push(events.map(({ type }) => type).join());
      if (events.some(({ type }) => type === "finished")) resolve();
    };
    const engine = silentEngine((tokens) => stepTokens.push(tokens));
    const { context } = engine.addon;
    const store = new StateStore({
      context,
      contextLength: 1024,
      dir: "",
      bytesMax: 0,
      spill: undefined,
      warn: () => undefined,
    });
    new StepLoop({ engine, store, emit, onFatal: reject }).add(1, options);
  });
  expect(stepTokens.length).toBeGreaterThan(1);
  expect(said).toEqual([...stepTokens.slice(1).map(() => ""), "prefilled,finished"]);
});
