// An engine that is gone is down at the first look, one that is slow only after some; both come back by themselves.
import { expect, test } from "vitest";
import { Code, NodeError } from "../../node-error.ts";
import { manualClock } from "../../testing/manual-clock.ts";
import { Health } from "./health.ts";
import { timedOut, unreachable } from "./http.ts";

function watched() {
  const clock = manualClock();
  const seen: boolean[] = [];
  const state = { failure: undefined as Error | undefined, probes: 0, rediscovered: 0 };
  const health = new Health({
    probe: async () => {
      state.probes += 1;
      if (state.failure !== undefined) throw state.failure;
    },
    rediscover: async () => {
      state.rediscovered += 1;
    },
    onChange: (up) => seen.push(up),
    intervalMs: 5_000,
    clock,
    log: () => undefined,
  });
  const over = health.run();
  return { clock, seen, state, health, over };
}

const failed = (reason: string): NodeError => new NodeError(Code.UNAVAILABLE, "no", { reason });

test("connections that are refused are the end at once; the way back goes through what the engine now is", async () => {
  const { clock, seen, state, health, over } = watched();
  state.failure = failed(unreachable);
  await clock.advance(5_000);
  expect(seen).toEqual([false]);
  state.failure = undefined;
  await clock.advance(250);
  expect([seen, state.rediscovered]).toEqual([[false, true], 1]);
  health.close();
  await over;
});

test("one probe that takes too long is no end, three are", async () => {
  const { clock, seen, state, health, over } = watched();
  state.failure = failed(timedOut);
  await clock.advance(5_000);
  state.failure = undefined;
  await clock.advance(250);
  state.failure = failed(timedOut);
  await clock.advance(5_000);
  await clock.advance(250);
  expect(seen).toEqual([]);
  await clock.advance(500);
  expect(seen).toEqual([false]);
  health.close();
  await over;
});

test("pauses between looks at an engine that is down grow to the usual one, and a failed request shortens them", async () => {
  const { clock, state, health, over } = watched();
  state.failure = failed(unreachable);
  await clock.advance(5_000);
  for (const ms of [250, 500, 1_000, 2_000, 5_000, 5_000]) {
    const before = state.probes;
    await clock.advance(ms - 1);
    expect(state.probes).toBe(before);
    await clock.advance(1);
    expect(state.probes).toBe(before + 1);
  }
  const before = state.probes;
  health.suspect();
  await clock.advance(0);
  expect(state.probes).toBe(before + 1);
  health.close();
  await over;
});
