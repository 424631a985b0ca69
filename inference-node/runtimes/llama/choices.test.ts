// Several answers as one stream: told apart, counted together, and the likeliest of them when they are chosen.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  DeltaSchema,
  FinishedSchema,
  FinishReason,
  PrefilledSchema,
} from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { RuntimeEvent } from "../../runtime.ts";
import { mergeChoices } from "./choices.ts";

/** A stream of one answer whose tokens have these log-probabilities. */
async function* answer(text: string, logprobs: readonly number[], cachedTokens = 0): AsyncIterable<RuntimeEvent> {
  yield { case: "prefilled", value: create(PrefilledSchema, { promptTokens: 9, cachedTokens }) };
  for (const [i, logprob] of logprobs.entries()) {
    await Promise.resolve();
    yield {
      case: "delta",
      value: create(DeltaSchema, {
        part: { case: "text", value: `${text}${i}` },
        completionTokens: i + 1,
        logprobs: [{ tokenId: i, logprob }],
      }),
    };
  }
  yield {
    case: "finished",
    value: create(FinishedSchema, {
      reason: FinishReason.LENGTH,
      usage: { promptTokens: 9, cachedTokens, completionTokens: logprobs.length },
    }),
  };
}

async function merged(streams: AsyncIterable<RuntimeEvent>[], count: number, logprobs = false) {
  const events: RuntimeEvent[] = [];
  for await (const event of mergeChoices(streams, { count, logprobs })) events.push(event);
  const deltas = events.flatMap((event) => (event.case === "delta" ? [event.value] : []));
  const last = events.at(-1);
  if (last?.case !== "finished") throw new Error("the last event is no end");
  const texts = Array.from({ length: count }, (_, index) =>
    deltas.flatMap(({ choiceIndex, part }) => (choiceIndex === index ? [part.value] : [])).join(" "),
  );
  return { events, deltas, texts, finished: last.value };
}

test("answers keep to their own index, the prompt is told once, and tokens are counted together", async () => {
  const streams = [answer("a", [-1, -1]), answer("b", [-1], 8), answer("c", [-1, -1, -1], 8)];
  const { events, deltas, texts, finished } = await merged(streams, 3);
  expect(texts).toEqual(["a0 a1", "b0", "c0 c1 c2"]);
  expect(events.map((event) => event.case).filter((name) => name !== "delta")).toEqual(["prefilled", "finished"]);
  expect(deltas.map(({ completionTokens }) => completionTokens)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(finished.choices.map(({ choiceIndex }) => choiceIndex)).toEqual([0, 1, 2]);
  expect(finished.usage).toMatchObject({ promptTokens: 9, cachedTokens: 0, completionTokens: 6 });
});

test("the likeliest by the mean of their tokens come back, the best first, and all are paid for", async () => {
  const streams = [answer("a", [-3, -3]), answer("b", [-1, -1, -1, -1]), answer("c", [-2]), answer("d", [-9])];
  const { texts, deltas, finished } = await merged(streams, 2);
  expect(texts).toEqual(["b0 b1 b2 b3", "c0"]);
  expect(deltas.every(({ logprobs }) => logprobs.length === 0)).toBe(true);
  expect(finished.choices).toHaveLength(2);
  expect(finished.usage?.completionTokens).toBe(8);
  expect(deltas.every(({ completionTokens }) => completionTokens === 8)).toBe(true);
});

test("log-probabilities come back with the chosen ones when they were asked for", async () => {
  const { deltas } = await merged([answer("a", [-3]), answer("b", [-1])], 1, true);
  expect(deltas.flatMap(({ logprobs }) => logprobs.map(({ logprob }) => logprob))).toEqual([-1]);
});

test("an answer that ends without a token is never the likeliest", async () => {
  const { texts } = await merged([answer("a", []), answer("b", [-20])], 1);
  expect(texts).toEqual(["b0"]);
});

test("one that fails fails all", async () => {
  async function* broken(): AsyncIterable<RuntimeEvent> {
    yield* answer("x", [-1]);
    throw new Error("the engine died");
  }
  await expect(merged([answer("a", [-1, -1]), broken()], 2)).rejects.toThrow("the engine died");
});
