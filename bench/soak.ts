// Sends many requests at a fixed number of streams and watches what processes hold in memory meanwhile.
import type { ProcessMemory } from "./process-memory.ts";
import { makePrompt, type PromptOptions } from "./prompts.ts";
import type { ServerTarget } from "./server-target.ts";
import { median } from "./statistics.ts";
import { BenchError, RoundRecord, type Sampling } from "./target.ts";

/** Most samples of a run, spread evenly over its requests. */
const samplesMax = 300;
/** Requests in a row that may fail before the run gives up. */
const failuresInRowMax = 20;

export interface SoakPlan {
  readonly requests: number;
  readonly streams: number;
  readonly sampling: Sampling;
  readonly prompt: PromptOptions;
  /** Undefined when no process is watched. */
  readonly sampleMemory: (() => Promise<ProcessMemory[]>) | undefined;
}

/** A process's memory after so many requests. */
export interface MemoryPoint {
  readonly request: number;
  readonly rssBytes: number;
}

export interface MemorySeries {
  readonly pid: number;
  readonly name: string;
  readonly points: readonly MemoryPoint[];
}

export interface MemoryGrowth {
  readonly pid: number;
  readonly name: string;
  /** Median over the first tenth of the window, and over its last, in bytes. */
  readonly startBytes: number;
  readonly endBytes: number;
  readonly peakBytes: number;
  /** Of the end over the start, in per cent; NaN for a process that did not live through the window. */
  readonly growthPercent: number;
}

export interface SoakResult {
  readonly record: RoundRecord;
  readonly series: readonly MemorySeries[];
  /** First request of the window over which growth is judged. */
  readonly windowStart: number;
}

/** The window begins after the caches are full: at request 1,001, or after the first third of a shorter run. */
export function windowStartOf(requests: number): number {
  return Math.min(1001, Math.floor(requests / 3) + 1);
}

/** Runs the plan; `onRequest` is told of each request's end. Rejects with the signal's reason or a BenchError. */
export async function soak(
  target: ServerTarget,
  plan: SoakPlan,
  onRequest: () => void,
  signal: AbortSignal,
): Promise<SoakResult> {
  const record = new RoundRecord();
  const memory = new MemoryLog();
  const every = Math.max(1, Math.ceil(plan.requests / samplesMax));
  let started = 0;
  let failuresInRow = 0;
  const sample = async (): Promise<void> => {
    if (plan.sampleMemory !== undefined) memory.add(record.requests, await plan.sampleMemory());
  };
  const runStream = async (): Promise<void> => {
    while (started < plan.requests) {
      const succeeded = await target.request(makePrompt(plan.prompt, started++), plan.sampling, record, signal);
      onRequest();
      failuresInRow = succeeded ? 0 : failuresInRow + 1;
      if (failuresInRow >= failuresInRowMax) {
        const [reason] = [...record.errors.keys()].slice(-1);
        throw new BenchError(`${target.label} failed ${failuresInRowMax} requests in a row: ${reason}`);
      }
      if (record.requests % every === 0) await sample();
    }
  };
  await sample();
  await Promise.all(Array.from({ length: plan.streams }, runStream));
  await sample();
  return { record, series: memory.series(), windowStart: windowStartOf(plan.requests) };
}

/** Processes that one run keeps apart; those that come later are not followed. */
const processesMax = 512;

class MemoryLog {
  readonly #byPid = new Map<number, { pid: number; name: string; points: MemoryPoint[] }>();

  add(request: number, processes: readonly ProcessMemory[]): void {
    for (const { pid, name, rssBytes } of processes) {
      let entry = this.#byPid.get(pid);
      if (entry === undefined) {
        if (this.#byPid.size >= processesMax) continue;
        entry = { pid, name, points: [] };
        this.#byPid.set(pid, entry);
      }
      entry.points.push({ request, rssBytes });
    }
  }

  series(): MemorySeries[] {
    return [...this.#byPid.values()];
  }
}

/** How much a process grew between `windowStart` and the last request, `requests`. */
export function growthOf(series: MemorySeries, windowStart: number, requests: number): MemoryGrowth {
  const tenth = Math.ceil((requests - windowStart + 1) / 10);
  // Single samples jump with every garbage collection: medians of many do not.
  const within = (from: number, to: number): number =>
    median(series.points.filter(({ request }) => request >= from && request <= to).map(({ rssBytes }) => rssBytes));
  const startBytes = within(windowStart, windowStart + tenth - 1);
  const endBytes = within(requests - tenth + 1, requests);
  return {
    pid: series.pid,
    name: series.name,
    startBytes,
    endBytes,
    peakBytes: Math.max(...series.points.map(({ rssBytes }) => rssBytes)),
    growthPercent: (endBytes / startBytes - 1) * 100,
  };
}
