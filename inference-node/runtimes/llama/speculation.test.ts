// Guessed tokens change how many steps an answer takes, and nothing of the answer.
import { expect, test } from "vitest";
import type { GenerateOptions, GenerationEvent } from "./protocol.ts";
import { StateStore } from "./state-store.ts";
import { StepLoop } from "./step-loop.ts";
import { type FakeEngineOptions, fakeEngine } from "./testing/fake-engine.ts";

/** A text that repeats itself every `period` tokens, but for a slip now and then. */
const repetitive =
  (period: number, slipEvery: number) =>
  (tokens: readonly number[]): number =>
    tokens.length % slipEvery === 0 ? 50 + (tokens.length % 7) : 1 + (tokens.length % period);

type Finished = Extract<GenerationEvent, { type: "finished" }>;

interface Answer {
  text: string;
  finished: Finished;
}

async function answers(
  guessTokensMax: number,
  engineOptions: Partial<FakeEngineOptions>,
  requests: readonly Partial<GenerateOptions>[],
) {
  let steps = 0;
  const { engine, context } = fakeEngine({
    sequences: 4,
    contextLength: 512,
    batchTokens: 64,
    ...engineOptions,
    onStep: () => {
      steps += 1;
    },
  });
  const store = new StateStore({
    context,
    contextLength: 512,
    dir: "",
    bytesMax: 0,
    spill: undefined,
    warn: () => undefined,
  });
  const texts = requests.map(() => "");
  const ends: Finished[] = [];
  const done = Promise.withResolvers<void>();
  const loop = new StepLoop({
    engine,
    store,
    emit: (events) => {
      for (const event of events) {
        if (event.type === "delta") texts[event.key] += event.text;
        if (event.type === "failed") done.reject(new Error(event.message));
        if (event.type === "finished") ends[event.key] = event;
      }
      if (Object.keys(ends).length === requests.length) done.resolve();
    },
    onFatal: done.reject,
  });
  for (const [key, options] of requests.entries()) {
    loop.add(key, {
      requestId: String(key),
      tokens: Uint32Array.from({ length: 20 + key }, (_, i) => 1 + ((i * (key + 3)) % 40)),
      maxTokens: 60,
      limitedByContext: false,
      sampling: { logitBias: [], ignoreEos: false, minTokens: 0 } as unknown as GenerateOptions["sampling"],
      visibleTokens: [],
      stopStrings: [],
      stopTokenIds: [],
      logprobs: undefined,
      promptLogprobs: undefined,
      prefixSalt: "",
      deterministic: false,
      guessTokensMax,
      ...options,
    });
  }
  await done.promise;
  return { steps, answers: texts.map((text, key): Answer => ({ text, finished: ends[key] as Finished })) };
}

const said = ({ answers: all }: { answers: Answer[] }) =>
  all.map(({ text, finished }) => [text, finished.reason, finished.stop, finished.completionTokens]);

test.each([
  ["that repeats itself", { next: repetitive(7, 1000) }],
  ["that slips often", { next: repetitive(5, 11) }],
  ["that never repeats itself", {}],
])("an answer %s is the same with guesses and without", async (_name, engine) => {
  const requests = [{}, { maxTokens: 1 }, { maxTokens: 2 }, { maxTokens: 33 }, { stopStrings: ["3 4"] }];
  const without = await answers(0, engine, requests);
  for (const most of [1, 4, 16]) expect(said(await answers(most, engine, requests))).toEqual(said(without));
});

test("an answer that repeats itself takes fewer steps, and its guesses are counted", async () => {
  const engine = { next: repetitive(7, 1000) };
  const without = await answers(0, engine, [{}]);
  const withGuesses = await answers(4, engine, [{}]);
  expect(without.steps).toBeGreaterThanOrEqual(60);
  expect(withGuesses.steps).toBeLessThan(without.steps / 2);
  const finished = withGuesses.answers[0]?.finished;
  expect(finished?.guessedRight).toBeGreaterThan(30);
  expect(finished?.guessedTokens).toBeGreaterThanOrEqual(finished?.guessedRight ?? 0);
  expect(without.answers[0]?.finished).toMatchObject({ guessedTokens: 0, guessedRight: 0 });
});

test("what is reused after wrong guesses is what was said", async () => {
  const engine = { next: repetitive(5, 11), sequences: 1 };
  const first = await answers(8, engine, [{}, {}, { stopStrings: ["3 4"] }, {}]);
  expect(said(first)).toEqual(said(await answers(0, engine, [{}, {}, { stopStrings: ["3 4"] }, {}])));
});

test("an engine that can't take a guess back ends the generation, not the others", async () => {
  const engine = { next: repetitive(5, 11), canCut: false };
  await expect(answers(4, engine, [{}])).rejects.toThrow("can't take back");
});
