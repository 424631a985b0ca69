// Admission refuses what it can't hold, with a delay after which to try again.
import { expect, it } from "vitest";
import type { Admission, AdmissionRequest } from "./admission.ts";
import { Code } from "./node-error.ts";
import { ask, openAdmission } from "./testing/ask-admission.ts";
import { manualClock } from "./testing/manual-clock.ts";

const clock = manualClock();

function admission(queueDepthMax: number, queueTokensMax = 1_000): Admission {
  return openAdmission(clock, { queueDepthMax, queueTokensMax });
}

function request(more: Partial<AdmissionRequest> = {}): AdmissionRequest {
  const signal = new AbortController().signal;
  return { tokens: 1, signal, deadlineAt: undefined, ...more };
}

it("refuses the request after the last place, with a retry delay of at least a second", () => {
  const one = admission(1);
  one.reserve().admit(request());
  one.reserve().admit(request());
  expect(() => one.reserve()).toThrow(expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED, retryAfterMs: 1_000 }));
});

it("counts requests that are still being tokenised", () => {
  const one = admission(1);
  one.reserve();
  const second = one.reserve();
  expect(() => one.reserve()).toThrow(expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED }));
  second.leave();
  second.leave();
  one.reserve();
  expect(() => one.reserve()).toThrow(expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED }));
});

it("waits for nobody when the queue has no places", () => {
  const one = admission(0);
  const permit = one.reserve().admit(request());
  expect(() => one.reserve()).toThrow(expect.objectContaining({ reason: "QUEUE_FULL" }));
  permit.release();
  expect(() => one.reserve()).not.toThrow();
});

it("refuses prompt tokens beyond the bound, but never the only one that waits", () => {
  const one = admission(10, 100);
  one.reserve().admit(request());
  one.reserve().admit(request({ tokens: 5_000 }));
  expect(() => one.reserve().admit(request())).toThrow(expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED }));
});

it("refuses a request whose deadline comes before its turn, once the pace is known", async () => {
  const one = admission(10);
  const first = one.reserve().admit(request({ deadlineAt: clock.monotonic() + 1 }));
  const unknownPace = one.reserve().admit(request({ deadlineAt: clock.monotonic() + 1 }));
  unknownPace.release();
  await clock.advance(10_000);
  first.release();
  one.reserve().admit(request());
  const soon = request({ deadlineAt: clock.monotonic() + 5_000 });
  expect(() => one.reserve().admit(soon)).toThrow(
    expect.objectContaining({ code: Code.RESOURCE_EXHAUSTED, reason: "QUEUE_TOO_SLOW", retryAfterMs: 5_000 }),
  );
  expect(() => one.reserve().admit(request({ deadlineAt: clock.monotonic() + 20_000 }))).not.toThrow();
});

it("refuses a request that was aborted while it was tokenised", () => {
  const one = admission(10);
  const controller = new AbortController();
  const place = one.reserve();
  controller.abort(new Error("gone"));
  expect(() => place.admit(request({ signal: controller.signal }))).toThrow("gone");
  expect([one.running, one.waiting]).toEqual([0, 0]);
});

const refused = (reason: string, retryAfterMs?: number): unknown =>
  expect.objectContaining({
    code: Code.RESOURCE_EXHAUSTED,
    reason,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });

it("refuses more sequences than the model runs at once, by name and not as something to retry", () => {
  const one = openAdmission(clock, { slots: () => 4 });
  const failure = { code: Code.INVALID_ARGUMENT, param: "choice_count", retryAfterMs: undefined };
  expect(() => ask(one, { sequences: 5 })).toThrow(expect.objectContaining(failure));
  expect(() => ask(one, { sequences: 4 })).not.toThrow();
});

it("fails a request that waits for more sequences than a restarted engine has left", async () => {
  let slots = 4;
  const one = openAdmission(clock, { slots: () => slots });
  ask(one);
  const big = ask(one, { sequences: 4 });
  const small = ask(one);
  slots = 2;
  one.pump();
  await expect(big.granted).rejects.toMatchObject({ code: Code.INVALID_ARGUMENT });
  await small.granted;
});

it("keeps a quarter more of the queue for tenants that hold less than an equal share of it", () => {
  const one = openAdmission(clock, { queueDepthMax: 8, queueTokensMax: 80 });
  for (let count = 0; count < 9; count += 1) ask(one, { tenant: "a" });
  expect(() => ask(one, { tenant: "a" })).toThrow(refused("QUEUE_FULL"));
  expect(() => ask(one, { tenant: "b", tokens: 73 })).toThrow(refused("QUEUE_FULL"));
  for (let count = 0; count < 2; count += 1) ask(one, { tenant: "b", tokens: 35 });
  expect(() => ask(one, { tenant: "b" })).toThrow(refused("QUEUE_FULL"));
  expect(one.waiting).toBe(10);
});

it("does not let batch work fill the whole queue, neither by requests nor by tokens", () => {
  const one = openAdmission(clock, { queueDepthMax: 8, queueTokensMax: 100, batchSlotsPercent: 50 });
  ask(one);
  for (let count = 0; count < 2; count += 1) ask(one, { priority: "batch", tokens: 20 });
  expect(() => ask(one, { priority: "batch", tokens: 20 })).toThrow(refused("QUEUE_FULL"));
  for (let count = 0; count < 2; count += 1) ask(one, { priority: "batch" });
  expect(() => ask(one, { priority: "batch" })).toThrow(refused("QUEUE_FULL"));
  for (let count = 0; count < 4; count += 1) ask(one, { tokens: 10 });
  expect(one.waiting).toBe(8);
});

it("makes batch work wait in the queue's places only, also beside a slot that it may not take", () => {
  const one = openAdmission(clock, { slots: () => 2, queueDepthMax: 0, batchSlotsPercent: 50 });
  ask(one, { priority: "batch" });
  expect(() => ask(one, { priority: "batch" })).toThrow(refused("QUEUE_FULL"));
  expect(() => ask(one)).not.toThrow();
});

it("lets as many wait for a restarting engine as it has slots, besides the queue", () => {
  const one = openAdmission(clock, { slots: () => 3, isReady: () => false, queueDepthMax: 1 });
  for (let count = 0; count < 4; count += 1) ask(one);
  expect(() => ask(one)).toThrow(refused("QUEUE_FULL"));
});

it("tells each of many that it refuses the time of a place of its own, and nobody later than when the queue is gone", async () => {
  const one = openAdmission(clock, { queueDepthMax: 3 });
  const first = ask(one);
  await clock.advance(4_000);
  first.release();
  for (let count = 0; count < 4; count += 1) ask(one);
  for (const retryAfterMs of [4_000, 8_000, 12_000, 12_000]) {
    expect(() => ask(one)).toThrow(refused("QUEUE_FULL", retryAfterMs));
  }
  await clock.advance(60_000);
  // The running one has held its slot for a minute now: nothing is known to be faster.
  expect(() => ask(one)).toThrow(refused("QUEUE_FULL", 60_000));
});

it("counts what it refuses, by reason", async () => {
  const reasons: string[] = [];
  const one = openAdmission(clock, { queueDepthMax: 1, onRejection: (reason) => reasons.push(reason) });
  ask(one);
  await clock.advance(5_000);
  expect(() => ask(one, { deadlineAt: clock.monotonic() + 10 })).toThrow(refused("QUEUE_TOO_SLOW", 4_990));
  ask(one);
  expect(() => ask(one)).toThrow(refused("QUEUE_FULL"));
  expect(reasons).toEqual(["QUEUE_TOO_SLOW", "QUEUE_FULL"]);
});
