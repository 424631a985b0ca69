// An edge that is silent three times running is taken for dead; one that is slow once, or still starting, is not.
import { expect, test, vi } from "vitest";
import { watchHealth } from "./health-watch.ts";

const pausesMs = vi.hoisted((): number[] => []);

vi.mock("node:timers/promises", async (original) => {
  const real = await original<typeof import("node:timers/promises")>();
  const setTimeout: typeof real.setTimeout = (delayMs, ...rest) => {
    pausesMs.push(delayMs ?? 0);
    return real.setTimeout(delayMs, ...rest);
  };
  return { ...real, setTimeout };
});

const timing = { intervalMs: 1, timeoutMs: 20, failuresMax: 3, startFailuresMax: 6 };
const one = (): number => 1;
const running = { ...timing, pid: one };

/** Runs the watch for so many probes; each is answered as `answers` says, by its number from 1. */
async function probes(count: number, answers: (probe: number) => boolean, pid: () => number | undefined) {
  const stop = new AbortController();
  const verdictsAt: number[] = [];
  let made = 0;
  const probe = async (): Promise<void> => {
    made += 1;
    if (made === count) stop.abort();
    if (!answers(made)) throw new Error("refused");
  };
  await watchHealth({ ...timing, pid, probe, onUnanswered: () => verdictsAt.push(made) }, stop.signal);
  return verdictsAt;
}

test("three failures in a row are the verdict, and the count begins anew", async () => {
  const verdictsAt = await probes(20, (probe) => probe <= 4, one);
  expect(verdictsAt).toEqual([7, 10, 13, 16, 19]);
});

test("failures between answers are no verdict", async () => {
  const verdictsAt = await probes(30, (probe) => probe % 3 === 0, one);
  expect(verdictsAt).toEqual([]);
});

test("a process that never answered yet gets more time than one that did", async () => {
  let pid = 1;
  const answers = (probe: number): boolean => {
    if (probe === 3) pid = 2;
    return probe <= 2 || probe === 14;
  };
  // The third probe began before its process did. Of the second process 4 to 9 fail, then 10 to 13, and after an
  // answer three more are enough.
  expect(await probes(18, answers, () => pid)).toEqual([9, 17]);
});

test("nothing is held against a service that is just not running", async () => {
  const [never, none] = [(): boolean => false, (): undefined => undefined];
  expect(await probes(20, never, none)).toEqual([]);
});

test("a probe without an answer fails at its time limit", async () => {
  const stop = new AbortController();
  const probe = (signal: AbortSignal): Promise<void> =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  await watchHealth({ ...running, probe, onUnanswered: () => stop.abort() }, stop.signal);
  expect(stop.signal.aborted).toBe(true);
});

test("a probe that took its whole time is followed by the next at once: silence is counted from start to start", async () => {
  const stop = new AbortController();
  const probe = (signal: AbortSignal): Promise<void> =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const watch = { ...running, intervalMs: 50, timeoutMs: 50, startFailuresMax: 3 };
  pausesMs.length = 0;
  await watchHealth({ ...watch, probe, onUnanswered: () => stop.abort() }, stop.signal);
  expect(pausesMs).toHaveLength(3);
  expect(pausesMs[0]).toBe(50);
  // A timer may fire a little before its time by another clock.
  for (const pauseMs of pausesMs.slice(1)) expect(pauseMs).toBeLessThan(5);
});
