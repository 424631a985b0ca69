// One run of the benchmark from its options to its exit code: opens the targets, measures, prints, writes, closes.
import { compare, fitPrompt, roundCount } from "./compare.ts";
import { HttpTarget } from "./http-target.ts";
import { LoopTarget } from "./loop-target.ts";
import type { MachineFacts } from "./machine.ts";
import { modelPathOf } from "./model-path.ts";
import type { BenchOptions, LoopSpec, ServerSpec, SoakOptions } from "./options.ts";
import { sampleProcesses } from "./process-memory.ts";
import { Progress, type ProgressOutput } from "./progress.ts";
import type { PromptOptions } from "./prompts.ts";
import {
  type LevelSummary,
  letters,
  levelLines,
  levelNotes,
  type SoakSummary,
  soakLines,
  summarizeLevel,
  summarizeSoak,
  tableHead,
  targetLine,
} from "./report.ts";
import { writeResults } from "./results-file.ts";
import { soak } from "./soak.ts";
import { BenchError, type Target } from "./target.ts";

export interface RunSurroundings {
  readonly machine: MachineFacts;
  readonly startedAt: string;
  readonly outPath: string;
  /** Prints a line of the report. */
  readonly print: (line: string) => void;
  readonly progressOutput: ProgressOutput;
}

/** Share of a core that the idle loop may use of the run's time before a warning, in milliseconds. */
const idleCpuMsMax = 50;

/** Tokens that a chat template may add to a prompt, and a margin for the fit. */
const templateTokens = 128;

interface Measured {
  readonly levels: LevelSummary[];
  soak: SoakSummary | undefined;
  interrupted: boolean;
}

/**
 * Runs it and resolves to the exit code: 0; 1 when a request failed, a ratio or a process missed its bound; 130 when the
 * signal fired, after what was complete has been written. Throws a BenchError when there is nothing to show.
 */
export async function run(options: BenchOptions, surroundings: RunSurroundings, signal: AbortSignal): Promise<number> {
  const { print, startedAt, machine, outPath } = surroundings;
  const measured: Measured = { levels: [], soak: undefined, interrupted: false };
  const targets: Target[] = [];
  try {
    await measure(options, surroundings, targets, measured, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    measured.interrupted = true;
  } finally {
    await Promise.all(targets.map((target) => target.close()));
  }
  const nothing = measured.levels.length === 0 && measured.soak === undefined;
  if (!nothing) {
    await writeResults(outPath, { startedAt, machine, options, targets, ...measured });
    print(`results: ${outPath}`);
  }
  if (measured.interrupted) {
    print(nothing ? "interrupted before anything was measured" : "interrupted: only complete levels are shown");
    return 130;
  }
  const faults = faultsOf(measured, options);
  for (const fault of faults) print(`FAILED: ${fault}`);
  return faults.length === 0 ? 0 : 1;
}

/** Opens the targets into `targets` and fills `measured` as it goes, so that an interrupted run keeps what it has. */
async function measure(
  options: BenchOptions,
  surroundings: RunSurroundings,
  targets: Target[],
  measured: Measured,
  signal: AbortSignal,
): Promise<void> {
  for (const spec of [options.target, options.against]) {
    if (spec === undefined) continue;
    const target = await makeTarget(spec, options, signal);
    targets.push(target);
    await target.open(signal);
  }
  const [first] = targets;
  if (first === undefined) throw new BenchError("there is nothing to measure");
  // The others are asked too: a server that cannot stream should say so before minutes of rounds.
  const prompt = await fitPrompt(first, options.promptTokens, options.sharedPrefix, options.seed, signal);
  for (const other of targets.slice(1)) await fitPrompt(other, options.promptTokens, 0, options.seed + 1, signal);
  const { print, machine } = surroundings;
  for (const [index, target] of targets.entries()) print(targetLine(target, index));
  print(
    `${machine.cores} cores, ${machine.cpu}, node ${machine.node}, commit ${machine.commit?.slice(0, 12) ?? "unknown"}`,
  );
  if (machine.loadAverage > machine.cores / 2) {
    print(
      `note: the machine was busy before the run (load ${machine.loadAverage.toFixed(1)} on ${machine.cores} cores)`,
    );
  }
  if (options.soak !== undefined && first instanceof HttpTarget) {
    await measureSoak(first, options, options.soak, prompt, surroundings, measured, signal);
  } else {
    await measureLevels(targets, options, prompt, surroundings, measured, signal);
  }
}

async function makeTarget(spec: ServerSpec | LoopSpec, options: BenchOptions, signal: AbortSignal): Promise<Target> {
  if (spec.kind === "server") return new HttpTarget({ ...spec, timeoutMs: options.timeoutMs });
  const { threads, batchTokens } = options.loop;
  const needed = options.promptTokens + options.maxTokens + templateTokens;
  return new LoopTarget({
    modelPath: await modelPathOf(spec.model, signal),
    threads,
    sequences: Math.max(...options.streams),
    // The engine rounds a context up to whole blocks of 256 tokens.
    contextLength: options.loop.context ?? Math.ceil(needed / 256) * 256,
    batchTokens,
  });
}

async function measureLevels(
  targets: readonly Target[],
  options: BenchOptions,
  prompt: PromptOptions,
  { print, progressOutput }: RunSurroundings,
  measured: Measured,
  signal: AbortSignal,
): Promise<void> {
  const plan = { ...options, prompt, sampling: options };
  const progress = new Progress(progressOutput, roundCount(plan, targets.length));
  const observer = {
    roundStarts: ({
      streams,
      target,
      round,
      warmup,
    }: {
      streams: number;
      target: number;
      round: number;
      warmup: boolean;
    }) => {
      // A line a level is enough where there is no bar.
      const detail = warmup ? ", warm-up" : `, round ${round + 1} of ${plan.rounds}`;
      const stage = `${streams} ${streams === 1 ? "stream" : "streams"}`;
      progress.stage(progressOutput.isTTY ? `${stage}${detail}, ${letters[target]}` : stage);
    },
    roundEnded: () => progress.advance(),
  };
  print("");
  print(tableHead());
  try {
    for await (const level of compare(targets, plan, observer, signal)) {
      const summary = summarizeLevel(level);
      measured.levels.push(summary);
      progress.clear();
      for (const line of levelLines(summary)) print(line);
      for (const note of levelNotes(summary)) print(`note: ${note}`);
    }
  } finally {
    progress.clear();
  }
  for (const target of targets) {
    if (target instanceof LoopTarget && target.idleCpuMs > idleCpuMsMax * roundCount(plan, 1)) {
      print(`note: the loop used ${target.idleCpuMs.toFixed(0)} ms of processor time while it should have been idle`);
    }
  }
}

async function measureSoak(
  target: HttpTarget,
  options: BenchOptions,
  soakOptions: SoakOptions,
  prompt: PromptOptions,
  { print, progressOutput }: RunSurroundings,
  measured: Measured,
  signal: AbortSignal,
): Promise<void> {
  const { requests, pids, treePids } = soakOptions;
  const streams = options.streams[0] ?? 1;
  const watching = pids.length + treePids.length > 0;
  const sampleMemory = watching ? () => sampleProcesses(pids, treePids) : undefined;
  if (sampleMemory !== undefined && (await sampleMemory()).length === 0) {
    throw new BenchError(`no process has one of the ids ${[...pids, ...treePids].join(", ")}`);
  }
  const progress = new Progress(progressOutput, requests);
  progress.stage(`${requests} requests at ${streams} ${streams === 1 ? "stream" : "streams"}`);
  try {
    const plan = { requests, streams, sampling: options, prompt, sampleMemory };
    const result = await soak(target, plan, () => progress.advance(), signal);
    measured.soak = summarizeSoak(result, streams, requests);
  } finally {
    progress.clear();
  }
  const level = { streams, targets: [measured.soak.target], ratio: undefined };
  print("");
  print(tableHead());
  for (const line of levelLines(level)) print(line);
  for (const note of levelNotes(level)) print(`note: ${note}`);
  for (const line of soakLines(measured.soak)) print(line);
}

/** Why the run counts as failed, a sentence each. */
function faultsOf(measured: Pick<Measured, "levels" | "soak">, options: BenchOptions): string[] {
  const faults: string[] = [];
  const summaries = [
    ...measured.levels.flatMap((level) => level.targets),
    ...(measured.soak ? [measured.soak.target] : []),
  ];
  const errors = summaries
    .flatMap((summary) => Object.values(summary.errors))
    .reduce((total, count) => total + count, 0);
  if (errors > 0) faults.push(`${errors} ${errors === 1 ? "request" : "requests"} failed`);
  for (const { streams, ratio } of measured.levels) {
    if (options.ratioMin === undefined || ratio === undefined || ratio.median >= options.ratioMin) continue;
    faults.push(`at ${streams} the ratio is ${ratio.median.toFixed(3)}, below ${options.ratioMin}`);
  }
  const growthMax = options.soak?.growthMaxPercent ?? Number.POSITIVE_INFINITY;
  for (const { pid, name, growthPercent } of measured.soak?.growth ?? []) {
    if (growthPercent < growthMax || Number.isNaN(growthPercent)) continue;
    faults.push(`${name} (${pid}) grew by ${growthPercent.toFixed(1)} %, not less than ${growthMax} %`);
  }
  return faults;
}
