// Admission gives slots in order, keeps its bounds and forgets the dead at once.
import { getEventListeners } from "node:events";
import { beforeEach, describe, expect, it } from "vitest";
import type { Admission, Permit } from "./admission.ts";
import { Code, NodeError } from "./node-error.ts";
import { ask, openAdmission } from "./testing/ask-admission.ts";
import { type ManualClock, manualClock } from "./testing/manual-clock.ts";

let clock: ManualClock;
let slots = 1;
let ready = true;

beforeEach(() => {
  clock = manualClock();
  slots = 1;
  ready = true;
});

function admission(limits: { queueDepthMax?: number; queueTokensMax?: number } = {}): Admission {
  return openAdmission(clock, { slots: () => slots, isReady: () => ready, ...limits });
}

/** Names in the order in which their permits are granted. */
function watch(permits: Record<string, Permit>): string[] {
  const order: string[] = [];
  for (const [name, { granted }] of Object.entries(permits))
    granted.then(
      () => order.push(name),
      () => undefined,
    );
  return order;
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("slots", () => {
  it("are given at once while there are any, and to the next as each becomes free", async () => {
    slots = 2;
    const one = admission();
    const permits = { a: ask(one), b: ask(one), c: ask(one), d: ask(one) };
    const order = watch(permits);
    await settled();
    expect(order).toEqual(["a", "b"]);
    expect(Object.values(permits).map(({ position }) => position)).toEqual([0, 0, 1, 2]);
    permits.b.release();
    await settled();
    expect(order).toEqual(["a", "b", "c"]);
    expect([one.running, one.waiting]).toEqual([2, 1]);
  });

  it("go to interactive work before batch, first come first served within each", async () => {
    const one = admission();
    const holder = ask(one);
    const order = watch({
      b1: ask(one, { priority: "batch" }),
      i1: ask(one),
      b2: ask(one, { priority: "batch" }),
      i2: ask(one),
    });
    for (let next = holder, round = 0; round < 5; round += 1) {
      next.release();
      await settled();
      next = { ...next, release: () => undefined };
      slots += 1; // The next one starts beside those that were never released.
      one.pump();
    }
    await settled();
    expect(order).toEqual(["i1", "i2", "b1", "b2"]);
  });

  it("are counted once however often a permit is released", () => {
    const one = admission();
    const permit = ask(one);
    permit.release();
    permit.release();
    ask(one);
    expect(one.running).toBe(1);
  });

  it("are given to nobody while the engine is down, and to those that wait when it is back", async () => {
    ready = false;
    const one = admission();
    const order = watch({ a: ask(one) });
    await settled();
    expect(order).toEqual([]);
    ready = true;
    one.pump();
    await settled();
    expect(order).toEqual(["a"]);
  });
});

describe("the queue", () => {
  it("forgets an aborted request at once and rejects it with the reason", async () => {
    const one = admission();
    ask(one);
    const controller = new AbortController();
    const dead = ask(one, { signal: controller.signal });
    const alive = ask(one);
    const reason = new NodeError(Code.CANCELLED, "gone");
    controller.abort(reason);
    expect(one.waiting).toBe(1);
    await expect(dead.granted).rejects.toBe(reason);
    alive.release();
    expect([one.running, one.waiting]).toEqual([1, 0]);
  });

  it("never gives a slot to one whose caller is gone, in whatever order the signal's listeners hear of it", async () => {
    const one = admission();
    const controller = new AbortController();
    const { signal } = controller;
    const holder = ask(one);
    signal.addEventListener("abort", () => holder.release());
    const dead = ask(one, { signal });
    const alive = ask(one);
    controller.abort(new Error("gone"));
    await expect(dead.granted).rejects.toThrow("gone");
    await alive.granted;
    expect([one.running, one.waiting]).toEqual([1, 0]);
  });

  it("fails all that wait when the engine does not come back", async () => {
    const one = admission();
    ask(one);
    const waiting = [ask(one), ask(one, { priority: "batch" })];
    one.failWaiting(new NodeError(Code.UNAVAILABLE, "dead"));
    for (const { granted } of waiting) await expect(granted).rejects.toMatchObject({ code: Code.UNAVAILABLE });
    expect([one.running, one.waiting]).toEqual([1, 0]);
  });

  it("holds to its invariants under any order of events", async () => {
    let seed = 42;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    slots = 3;
    const one = admission({ queueDepthMax: 5 });
    const live: { permit: Permit; controller: AbortController }[] = [];
    for (let step = 0; step < 2_000; step += 1) {
      const pick = live.length > 0 ? random(live.length) : 0;
      const action = random(4);
      if (action < 2) {
        const controller = new AbortController();
        try {
          const priority = random(2) === 0 ? "batch" : "interactive";
          live.push({ permit: ask(one, { signal: controller.signal, priority }), controller });
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: Code.RESOURCE_EXHAUSTED });
          expect(one.running + one.waiting).toBe(8);
        }
      } else if (live.length > 0) {
        const [entry] = live.splice(pick, 1);
        if (action === 2) entry?.controller.abort(new NodeError(Code.CANCELLED, "x"));
        entry?.permit.release();
      }
      expect(one.running).toBe(Math.min(3, live.length));
      expect(one.waiting).toBe(Math.max(0, live.length - 3));
    }
  });
});

it("leaves no listener on a caller's signal, however the request ends", async () => {
  const { signal } = new AbortController();
  const line = admission();
  const [running, granted, gone] = [ask(line, { signal }), ask(line, { signal }), ask(line, { signal })];
  expect(getEventListeners(signal, "abort")).toHaveLength(2);
  gone.release();
  running.release();
  await granted.granted;
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
  granted.release();
});
