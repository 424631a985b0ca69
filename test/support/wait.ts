// Waits for a condition with a limit, so that a test that waits in vain says for what.
import { setTimeout as sleep } from "node:timers/promises";

/** Resolves to the first value that is neither undefined nor false; rejects after `timeoutMs` with `what` in the message. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 20_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}.`);
    await sleep(50);
  }
}
