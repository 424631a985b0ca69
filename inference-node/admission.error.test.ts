// Admission refuses what it can't hold, with a delay after which to try again.
import { expect, it } from "vitest";
import type { Admission, AdmissionRequest } from "./admission.ts";
import { Code } from "./node-error.ts";
import { openAdmission } from "./testing/ask-admission.ts";
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
