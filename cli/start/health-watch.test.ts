// An edge that is silent three times running is taken for dead; one that is slow once is not.
import { expect, test, vi } from "vitest";
import { watchHealth } from "./health-watch.ts";

const timing = { intervalMs: 1, timeoutMs: 20, failuresMax: 3 };

test("three failures in a row are the verdict, and the count begins anew", async () => {
  const stop = new AbortController();
  const verdictsAt: number[] = [];
  let probes = 0;
  const probe = async (): Promise<void> => {
    probes += 1;
    if (probes === 20) stop.abort();
    if (probes > 4) throw new Error("refused");
  };
  await watchHealth({ ...timing, probe, onUnanswered: () => verdictsAt.push(probes) }, stop.signal);
  expect(verdictsAt).toEqual([7, 10, 13, 16, 19]);
});

test("failures between answers are no verdict", async () => {
  const stop = new AbortController();
  const onUnanswered = vi.fn();
  let probes = 0;
  const probe = async (): Promise<void> => {
    probes += 1;
    if (probes === 30) stop.abort();
    if (probes % 3 !== 0) throw new Error("refused");
  };
  await watchHealth({ ...timing, probe, onUnanswered }, stop.signal);
  expect(onUnanswered).not.toHaveBeenCalled();
});

test("a probe without an answer fails at its time limit", async () => {
  const stop = new AbortController();
  const probe = (signal: AbortSignal): Promise<void> =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  await watchHealth({ ...timing, probe, onUnanswered: () => stop.abort() }, stop.signal);
  expect(stop.signal.aborted).toBe(true);
});
