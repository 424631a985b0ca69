// Notices an edge that runs but no longer answers: wrangler survives the death of its workerd, and then hangs.
import { setTimeout as sleep } from "node:timers/promises";

export interface HealthWatch {
  /** Resolves when the service answers, whatever it says; rejects when it does not. */
  probe: (signal: AbortSignal) => Promise<unknown>;
  onUnanswered: () => void;
  /** Time between probes and the time each may take, in milliseconds. */
  intervalMs: number;
  timeoutMs: number;
  /** Failures in a row that count as dead. */
  failuresMax: number;
}

/** Probes until `stop` is aborted; after a verdict it begins to count anew. */
export async function watchHealth(watch: HealthWatch, stop: AbortSignal): Promise<void> {
  let failures = 0;
  while (!stop.aborted) {
    try {
      await sleep(watch.intervalMs, undefined, { signal: stop });
      await watch.probe(AbortSignal.any([stop, AbortSignal.timeout(watch.timeoutMs)]));
      failures = 0;
    } catch {
      failures += 1;
    }
    if (stop.aborted || failures < watch.failuresMax) continue;
    failures = 0;
    watch.onUnanswered();
  }
}
