// Runs invented requests through an admission, one generated token a millisecond, and tells when each started and ended.
import type { Admission, Permit } from "../admission.ts";
import type { PriorityClass } from "../waiting-line.ts";
import { ask } from "./ask-admission.ts";
import type { ManualClock } from "./manual-clock.ts";

/** A request to come. Times count from the simulation's begin, in milliseconds. */
export interface Job {
  readonly tenant: string;
  readonly priority?: PriorityClass;
  readonly arrivesAt: number;
  readonly promptTokens: number;
  /** How many tokens it generates, which is how long it runs. */
  readonly outputTokens: number;
  readonly sequences?: number;
  /** When its caller hangs up. */
  readonly hangsUpAt?: number;
}

/** What became of a job. */
export interface Run {
  readonly job: Job;
  readonly permit: Permit;
  readonly controller: AbortController;
  startedAt: number | undefined;
  endedAt: number | undefined;
  generated: number;
}

/**
 * Plays all jobs to their end, or until `stopAt`. A refused job throws. `eachMs` is called after every millisecond, when
 * nothing more happens in it.
 */
export async function simulate(
  admission: Admission,
  clock: ManualClock,
  jobs: readonly Job[],
  { stopAt = 1_000_000, eachMs }: { stopAt?: number; eachMs?: (now: number, runs: readonly Run[]) => void } = {},
): Promise<Run[]> {
  const coming = jobs.toSorted((a, b) => a.arrivesAt - b.arrivesAt);
  const runs: Run[] = [];
  let live: Run[] = [];
  const beganAt = clock.monotonic();
  const elapsed = (): number => clock.monotonic() - beganAt;
  for (let now = 0; now < stopAt && (coming.length > 0 || live.length > 0); now += 1) {
    while (coming[0] !== undefined && coming[0].arrivesAt <= now) {
      const run = begin(admission, coming[0], elapsed);
      coming.shift();
      runs.push(run);
      live.push(run);
    }
    await clock.advance(1);
    for (const run of live) step(run, now + 1);
    live = live.filter(({ endedAt }) => endedAt === undefined);
    await new Promise((resolve) => setImmediate(resolve));
    eachMs?.(now + 1, runs);
  }
  return runs;
}

function begin(admission: Admission, job: Job, now: () => number): Run {
  const controller = new AbortController();
  const { tenant, priority = "interactive", promptTokens: tokens, sequences = 1 } = job;
  const permit = ask(admission, { tenant, priority, tokens, sequences, signal: controller.signal });
  const run: Run = { job, permit, controller, startedAt: undefined, endedAt: undefined, generated: 0 };
  const started = (): void => {
    run.startedAt = now();
  };
  permit.granted.then(started, () => undefined);
  return run;
}

function step(run: Run, now: number): void {
  const { job, permit, controller } = run;
  if (run.startedAt !== undefined) {
    run.generated += 1;
    permit.served(run.generated);
  }
  const hangsUp = job.hangsUpAt !== undefined && job.hangsUpAt <= now;
  if (hangsUp) controller.abort(new Error("gone"));
  if (!hangsUp && run.generated < job.outputTokens) return;
  run.endedAt = now;
  permit.release();
}

/** A generator of numbers below a bound that says the same each time. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}
