// Each step of the batch ends in one message, by which the node knows that the engine lives.
import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import type { Engine } from "./engine.ts";
import type { GenerateOptions, GenerationEvent } from "./protocol.ts";
import { StateStore } from "./state-store.ts";
import { StepLoop } from "./step-loop.ts";
import { fakeAnswer, fakeEngine } from "./testing/fake-engine.ts";
import { loopMachine, tokens } from "./testing/loop-machine.ts";

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
  visibleTokens: [],
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

test("a deterministic request is decoded in batches of its own, of the same sizes under any load", async () => {
  const shapes = async (neighbours: number): Promise<string> => {
    const alone: number[] = [];
    let others = 0;
    const { engine, context } = fakeEngine({
      sequences: 8,
      contextLength: 1024,
      batchTokens: 512,
      onStep: (batch) => {
        const mine = batch.find(({ sequence }) => sequence === slot);
        if (mine === undefined) others += 1;
        else expect(batch).toHaveLength(1);
        if (mine !== undefined) alone.push(mine.tokens);
      },
    });
    // It comes last, so that the neighbours have the lower slots.
    const slot = neighbours;
    const store = new StateStore({ context, contextLength: 1024, dir: "", bytesMax: 0, spill: undefined, warn: fail });
    const ended = Promise.withResolvers<void>();
    let left = neighbours + 1;
    const loop = new StepLoop({
      engine,
      store,
      emit: (events) => {
        for (const { type } of events) if (type === "finished") left -= 1;
        if (left === 0) ended.resolve();
      },
      onFatal: ended.reject,
    });
    const prompt = (seed: number) => Uint32Array.from({ length: 200 }, (_, i) => 1 + ((i * seed) % 50));
    for (let key = 1; key <= neighbours; key++) loop.add(key, { ...options, tokens: prompt(key), prefixSalt: "" });
    loop.add(99, { ...options, tokens: prompt(7), deterministic: true });
    await ended.promise;
    expect(others > 0).toBe(neighbours > 0);
    return alone.join();
  };
  const quiet = await shapes(0);
  expect(quiet).toMatch(/^64,64,64,8(,1)+$/);
  expect(await shapes(5)).toBe(quiet);
});

test.each([
  ["one of its kind", { prefixSalt: undefined, deterministic: true }],
  ["one of the shared batch", { prefixSalt: "a" }],
] as [string, Partial<GenerateOptions>][])(
  "a cancellation during a deterministic request's step ends %s before it computes anything more",
  async (_name, more) => {
    const computed: number[] = [];
    let steps = 0;
    let cancelOther = (): void => undefined;
    const { start, run, cancel } = loopMachine({
      dir: tmpdir(),
      bytesMax: 0,
      sequences: 2,
      onStep: (batch) => {
        for (const { sequence } of batch) computed.push(sequence);
        // The first has slot 0.
        if (batch[0]?.sequence === 0) steps += 1;
        if (batch[0]?.sequence === 0 && steps === 12) cancelOther();
      },
    });
    const prompt = tokens(40, 2);
    const first = start(tokens(40), { prefixSalt: undefined, deterministic: true, maxTokens: 40 });
    const other = start(prompt, { maxTokens: 200, ...more });
    cancelOther = () => {
      computed.length = 0;
      cancel(other.key);
    };
    expect(await other.ended).toBe("cancelled");
    expect(computed).not.toContain(1);
    expect(await first.ended).toMatchObject({ answer: fakeAnswer(tokens(40), 40) });
    // What it left is what was noted: a next turn goes on from there.
    const next = [...prompt, ...fakeAnswer(prompt, 60)];
    expect(await run(next)).toMatchObject({ answer: fakeAnswer(next, 8) });
  },
);

function fail(sentence: string): never {
  throw new Error(sentence);
}
