// Holds many slow streams of a scripted node at once, for a bounded time, and watches what they cost it.
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { counted } from "./format.ts";
import { readLagP99 } from "./lag-metric.ts";
import type { ProcessMemory } from "./process-memory.ts";
import { Progress } from "./progress.ts";
import { reasonOf } from "./reasons.ts";
import { type ScenarioContext, serversOf, watcherOf } from "./scenario.ts";
import type { ServerTarget } from "./server-target.ts";
import { slowReadersLines, summarizeSlowReaders } from "./slow-readers-report.ts";
import { beginMsMax, type SlowStream, scriptOf } from "./slow-script.ts";
import { BenchError, RoundRecord } from "./target.ts";

/** The node's gauge tells the last full ten seconds: after so long those began after the streams did. */
const settleMsMax = 20_000;
const memoryEveryMs = 1000;
const lagEveryMs = 5000;

export interface HoldPlan extends SlowStream {
  readonly streams: number;
  /** Milliseconds over which the streams begin. */
  readonly spreadMs: number;
  /** Processes to look at; undefined when none are watched. */
  readonly sampleMemory: (() => Promise<ProcessMemory[]>) | undefined;
  /** Lag of the event loop in milliseconds; undefined when nobody tells. */
  readonly readLag: (() => Promise<number>) | undefined;
  /** Milliseconds between hanging up and the last look at memory. */
  readonly pauseMs: number;
}

export interface HoldResult {
  /** Streams that had their first chunk, and TTFT and gaps of them all. */
  readonly began: number;
  readonly record: RoundRecord;
  readonly before: readonly ProcessMemory[];
  readonly held: readonly (readonly ProcessMemory[])[];
  readonly after: readonly ProcessMemory[];
  readonly lagsMs: readonly number[];
  /** Why the lag is not known. */
  readonly lagMissing: string | undefined;
}

/** Begins all streams, holds them, hangs up. Rejects with the signal's reason, or when no stream began. */
export async function holdStreams(target: ServerTarget, plan: HoldPlan, signal: AbortSignal): Promise<HoldResult> {
  const sample = async (): Promise<ProcessMemory[]> => (await plan.sampleMemory?.()) ?? [];
  const before = await sample();
  const record = new RoundRecord();
  const hangUp = new AbortController();
  const listening = AbortSignal.any([signal, hangUp.signal]);
  setMaxListeners(0, listening);
  let began = 0;
  let failed = 0;
  const allBegan = Promise.withResolvers<void>();
  const settle = (): void => {
    if (began + failed >= plan.streams) allBegan.resolve();
  };
  const { prompt, chunks } = scriptOf(plan);
  const runStream = async (index: number): Promise<void> => {
    const waitMs = (index * plan.spreadMs) / plan.streams;
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: listening }).catch(() => undefined);
    if (listening.aborted) return;
    let previous = performance.now();
    let pieces = 0;
    record.started(previous);
    const onText = (): void => {
      const now = performance.now();
      record.chunk(now, previous, pieces === 0);
      previous = now;
      pieces += 1;
      if (pieces === 1) began += 1;
      settle();
    };
    // A number counted may be several tokens.
    const sampling = { maxTokens: chunks * 3, temperature: 0, ignoreEos: false };
    try {
      await target.chat([{ role: "user", content: prompt }], sampling, onText, listening);
      record.failed("the stream ended before it was hung up on");
    } catch (error) {
      if (listening.aborted) return;
      record.failed(reasonOf(error));
    }
    if (pieces === 0) failed += 1;
    settle();
  };
  const streams = Promise.all(Array.from({ length: plan.streams }, (_, index) => runStream(index)));
  try {
    await Promise.race([allBegan.promise, sleep(beginMsMax, undefined, { signal: listening })]);
    signal.throwIfAborted();
    if (began === 0) throw new BenchError(`no stream began: ${[...record.errors.keys()][0] ?? "no answer"}`);
    for (let silent = plan.streams - began - failed; silent > 0; silent--) record.failed("no chunk within a minute");
    const { held, lagsMs, lagMissing } = await watch(plan, sample, signal);
    hangUp.abort(new BenchError("seen enough"));
    await streams;
    await sleep(plan.pauseMs, undefined, { signal });
    return { began, record, before, held, after: await sample(), lagsMs, lagMissing };
  } finally {
    hangUp.abort(new BenchError("over"));
    await streams;
  }
}

/** Looks at memory and lag while all streams run. */
async function watch(
  { holdMs, readLag }: HoldPlan,
  sample: () => Promise<ProcessMemory[]>,
  signal: AbortSignal,
): Promise<Pick<HoldResult, "held" | "lagsMs" | "lagMissing">> {
  const held: ProcessMemory[][] = [];
  const lagsMs: number[] = [];
  let lagMissing = readLag === undefined ? "no --metrics given" : undefined;
  const startedAt = performance.now();
  let lagDueMs = Math.min(settleMsMax, holdMs / 2);
  const lookAtLag = async (): Promise<void> => {
    lagDueMs += lagEveryMs;
    if (readLag === undefined || lagMissing !== undefined) return;
    try {
      lagsMs.push(await readLag());
    } catch (error) {
      signal.throwIfAborted();
      lagMissing = reasonOf(error);
    }
  };
  for (let passed = 0; passed < holdMs; passed = performance.now() - startedAt) {
    held.push(await sample());
    if (passed >= lagDueMs) await lookAtLag();
    const now = performance.now() - startedAt;
    const nextMs = Math.min(now + memoryEveryMs, holdMs, Math.max(now, lagDueMs));
    await sleep(Math.max(1, nextMs - now), undefined, { signal });
  }
  // On a machine so busy that a short hold was over before its first look.
  if (lagsMs.length === 0) await lookAtLag();
  return { held, lagsMs, lagMissing };
}

/** Runs the scenario. */
export async function runSlowReaders(context: ScenarioContext): Promise<void> {
  const { options, print, progressOutput, signal, findings } = context;
  const [target] = serversOf(context.targets);
  const [streams = 1] = options.streams;
  if (target === undefined) throw new BenchError("there is no target");
  if (target.model !== "scripted") {
    throw new BenchError(
      `--scenario slow-readers needs a node with the scripted runtime, and ${target.label} serves ${target.model}`,
    );
  }
  const sampleMemory = await watcherOf(options.watched);
  const { metrics, pauseMs } = options;
  const readLag = metrics === undefined ? undefined : () => readLagP99(metrics, signal);
  const progress = new Progress(progressOutput, 1);
  progress.stage(`${counted(streams, "stream")} for ${counted(options.slowReaders.holdMs / 1000, "second")}`);
  try {
    const plan = { ...options.slowReaders, streams, sampleMemory, readLag, pauseMs };
    findings.slowReaders = summarizeSlowReaders(await holdStreams(target, plan, signal), streams);
  } finally {
    progress.clear();
  }
  print("");
  for (const line of slowReadersLines(findings.slowReaders)) print(line);
}
