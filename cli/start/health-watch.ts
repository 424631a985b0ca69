// Notices an edge that runs but no longer answers: Miniflare survives a workerd that hangs, and says nothing.
import { setTimeout as sleep } from "node:timers/promises";

export interface HealthWatch {
  /** Resolves when the service answers, whatever it says; rejects when it does not. */
  probe: (signal: AbortSignal) => Promise<unknown>;
  /** Id of the process that is probed; undefined while none runs. */
  pid: () => number | undefined;
  onUnanswered: () => void;
  /** Time from the start of one probe to that of the next, in milliseconds. */
  intervalMs: number;
  /** The time each probe may take, in milliseconds. */
  timeoutMs: number;
  /** Failures in a row that count as dead, of a process that has answered before. */
  failuresMax: number;
  /** The same of one that never has: on a busy machine a start takes its time. */
  startFailuresMax: number;
}

/** Probes until `stop` is aborted; after a verdict, and with each new process, it begins to count anew. */
export async function watchHealth(watch: HealthWatch, stop: AbortSignal): Promise<void> {
  let failures = 0;
  let failing: number | undefined;
  let answered: number | undefined;
  for (let pauseMs = watch.intervalMs; !stop.aborted; ) {
    await sleep(pauseMs, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) return;
    const pid = watch.pid();
    const startedMs = performance.now();
    const hasAnswered = await watch.probe(AbortSignal.any([stop, AbortSignal.timeout(watch.timeoutMs)])).then(
      () => true,
      () => false,
    );
    pauseMs = Math.max(0, watch.intervalMs - (performance.now() - startedMs));
    if (hasAnswered) answered = pid;
    // What was started or has ended during the probe is not judged by it.
    const isJudged = !hasAnswered && pid !== undefined && pid === watch.pid();
    failures = isJudged ? (pid === failing ? failures : 0) + 1 : 0;
    failing = pid;
    if (stop.aborted || failures < (pid === answered ? watch.failuresMax : watch.startFailuresMax)) continue;
    failures = 0;
    watch.onUnanswered();
  }
}
