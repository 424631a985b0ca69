// Restarts of the native child: at once after a few deaths, later ones with back-off, and anew after a quiet time.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Clock } from "../../clock.ts";
import type { LoadedModel } from "./protocol.ts";
import { Supervisor } from "./supervisor.ts";
import { children, type FakeChild } from "./testing/fake-child.ts";

vi.mock("node:child_process", async () => ({ fork: (await import("./testing/fake-child.ts")).fork }));

let nowMs: number;
let sleptMs: number[];
let supervisor: Supervisor;

const clock: Clock = {
  now: () => nowMs,
  monotonic: () => nowMs,
  sleep: async (ms) => {
    // The watchdogs of this test never bark.
    if (ms === Number.POSITIVE_INFINITY) await new Promise(() => undefined);
    sleptMs.push(ms);
  },
};

/** Lets the current child live so long, kills it, and waits for the next one. */
async function liveAndDie(livedMs: number): Promise<void> {
  const count = children.length;
  const child = children.at(-1) as FakeChild;
  child.says({ type: "loaded", model: {} as LoadedModel });
  nowMs += livedMs;
  child.emit("exit", null, "SIGKILL");
  await expect.poll(() => children.length).toBe(count + 1);
}

beforeEach(() => {
  children.length = 0;
  nowMs = 0;
  sleptMs = [];
  supervisor = new Supervisor({
    load: {} as ConstructorParameters<typeof Supervisor>[0]["load"],
    clock,
    log: () => undefined,
    childEnv: {},
    stepTimeoutMs: Number.POSITIVE_INFINITY,
    loadTimeoutMs: Number.POSITIVE_INFINITY,
    onState: () => undefined,
    onEvents: () => undefined,
    onDeath: () => undefined,
  });
  supervisor.start().catch(() => undefined);
});

afterEach(() => supervisor.close());

test("the first three deaths in a row are answered at once, further ones with a growing wait", async () => {
  for (let death = 0; death < 6; death++) await liveAndDie(5000);
  expect(sleptMs).toEqual([250, 1000, 2000]);
});

test("a child that lived a minute starts the count anew", async () => {
  for (let death = 0; death < 3; death++) await liveAndDie(5000);
  for (let death = 0; death < 3; death++) await liveAndDie(61_000);
  expect(sleptMs).toEqual([]);
});
