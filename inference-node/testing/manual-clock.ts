// A clock that stands still until a test moves it.
import type { Clock } from "../clock.ts";

export interface ManualClock extends Clock {
  /** Moves time and wakes the sleepers whose time has come, oldest first. */
  advance(ms: number): Promise<void>;
}

/** Makes a clock that begins at 1,000,000 ms. */
export function manualClock(): ManualClock {
  let time = 1_000_000;
  const sleepers = new Set<{ at: number; wake: () => void }>();
  return {
    now: () => time,
    monotonic: () => time,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = { at: time + ms, wake: resolve };
        sleepers.add(sleeper);
        const onAbort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
    advance: async (ms) => {
      time += ms;
      for (const sleeper of [...sleepers].toSorted((a, b) => a.at - b.at)) {
        if (sleeper.at > time || !sleepers.delete(sleeper)) continue;
        sleeper.wake();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
