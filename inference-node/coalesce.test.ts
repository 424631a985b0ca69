// Deltas are merged within the interval, in order, and none is lost or kept longer than the interval.
import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, it } from "vitest";
import { type Delta, DeltaSchema } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Coalescer } from "./coalesce.ts";
import { type ManualClock, manualClock } from "./testing/manual-clock.ts";

let clock: ManualClock;
let sent: [string, number][];

beforeEach(() => {
  clock = manualClock();
  sent = [];
});

let tokens = 0;

function delta(value: string, kind: "text" | "reasoning" = "text", choiceIndex = 0): Delta {
  tokens += 1;
  return create(DeltaSchema, {
    choiceIndex,
    part: { case: kind, value },
    completionTokens: tokens,
    logprobs: [{ tokenId: tokens }],
  });
}

function coalescer(emit?: (piece: Delta) => Promise<void> | undefined): Coalescer {
  const record = (piece: Delta): undefined => {
    sent.push([String(piece.part.value), piece.logprobs.length]);
  };
  return new Coalescer({ intervalMs: 20, clock, emit: emit ?? record });
}

it("sends the first at once and merges what comes within the interval", async () => {
  const merged = coalescer();
  for (const text of ["a", "b", "c"]) merged.push(delta(text));
  expect(sent).toEqual([["a", 1]]);
  await clock.advance(20);
  expect(sent).toEqual([
    ["a", 1],
    ["bc", 2],
  ]);
  merged.push(delta("d"));
  await clock.advance(19);
  expect(sent).toHaveLength(2);
  await clock.advance(1);
  expect(sent[2]).toEqual(["d", 1]);
});

it("sends at once again after a silent interval", async () => {
  const merged = coalescer();
  merged.push(delta("a"));
  await clock.advance(20);
  merged.push(delta("b"));
  expect(sent).toHaveLength(2);
});

it("never merges pieces of different things, and keeps their order", async () => {
  const merged = coalescer();
  merged.push(delta("a", "reasoning"));
  merged.push(delta("b", "reasoning"));
  merged.push(delta("c", "text"));
  merged.push(delta("d", "text", 1));
  await merged.finish();
  expect(sent.map(([text]) => text)).toEqual(["a", "b", "c", "d"]);
});

it("sends what is held when it finishes, and nothing when it is stopped", async () => {
  const merged = coalescer();
  merged.push(delta("a"));
  merged.push(delta("b"));
  await merged.finish();
  expect(sent).toHaveLength(2);
  const stopped = coalescer();
  stopped.push(delta("a"));
  stopped.push(delta("b"));
  stopped.stop();
  await clock.advance(100);
  expect(sent).toHaveLength(3);
});

it("makes the producer wait for a slow reader, and tells it when the reader is gone", async () => {
  const gate = Promise.withResolvers<void>();
  const merged = coalescer(() => gate.promise);
  const waited = merged.push(delta("a"));
  expect(waited).toBeInstanceOf(Promise);
  gate.reject(new Error("gone"));
  await expect(waited).rejects.toThrow("gone");
  await expect(merged.push(delta("b"))).rejects.toThrow("gone");
});
