// One run of the benchmark from its options to its exit code: opens the targets, measures, prints, writes, closes.
import { fitPrompt } from "./compare.ts";
import { faultsOf } from "./faults.ts";
import { HttpTarget } from "./http-target.ts";
import { runLevels } from "./levels.ts";
import { LoopTarget } from "./loop-target.ts";
import type { MachineFacts } from "./machine.ts";
import { modelPathOf } from "./model-path.ts";
import { NodeTarget } from "./node-target.ts";
import type { BenchOptions } from "./options.ts";
import type { ProgressOutput } from "./progress.ts";
import { targetLine } from "./report.ts";
import { writeResults } from "./results-file.ts";
import { runSoak } from "./run-soak.ts";
import { type Findings, isEmpty, noFindings, type ScenarioContext } from "./scenario.ts";
import { runSlowReaders } from "./slow-readers.ts";
import { runStall } from "./stall.ts";
import { runStepCost } from "./step-cost.ts";
import { BenchError, type Target } from "./target.ts";
import type { TargetSpec } from "./target-spec.ts";
import { runTurns } from "./turns.ts";

export interface RunSurroundings {
  readonly machine: MachineFacts;
  readonly startedAt: string;
  readonly outPath: string;
  /** Prints a line of the report. */
  readonly print: (line: string) => void;
  readonly progressOutput: ProgressOutput;
}

/** Tokens that a chat template may add to a prompt, and a margin for the fit. */
const templateTokens = 128;

/** What each scenario with targets does. */
const runners = {
  levels: runLevels,
  soak: runSoak,
  turns: runTurns,
  stall: runStall,
  "slow-readers": runSlowReaders,
} as const satisfies Record<string, (context: ScenarioContext) => Promise<void>>;

/**
 * Runs it and resolves to the exit code: 0; 1 when a request failed, a ratio or a process missed its bound; 130 when the
 * signal fired, after what was complete has been written. Throws a BenchError when there is nothing to show.
 */
export async function run(options: BenchOptions, surroundings: RunSurroundings, signal: AbortSignal): Promise<number> {
  const { print, startedAt, machine, outPath } = surroundings;
  const findings = noFindings();
  const targets: Target[] = [];
  let interrupted = false;
  try {
    await measure(options, surroundings, targets, findings, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    interrupted = true;
  } finally {
    await Promise.all(targets.map((target) => target.close()));
  }
  const nothing = isEmpty(findings);
  if (!nothing) {
    await writeResults(outPath, { startedAt, machine, options, targets, interrupted, findings });
    print(`results: ${outPath}`);
  }
  if (interrupted) {
    print(nothing ? "interrupted before anything was measured" : "interrupted: only complete levels are shown");
    return 130;
  }
  const faults = faultsOf(findings, options);
  for (const fault of faults) print(`FAILED: ${fault}`);
  return faults.length === 0 ? 0 : 1;
}

/** Opens the targets into `targets` and fills `findings` as it goes, so that an interrupted run keeps what it has. */
async function measure(
  options: BenchOptions,
  surroundings: RunSurroundings,
  targets: Target[],
  findings: Findings,
  signal: AbortSignal,
): Promise<void> {
  const { print, progressOutput, machine } = surroundings;
  const common = { options, print, progressOutput, signal, findings };
  if (options.scenario === "step-cost") {
    printMachine(machine, print);
    return runStepCost(common);
  }
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
  for (const [index, target] of targets.entries()) print(targetLine(target, index));
  printMachine(machine, print);
  await runners[options.scenario]({ ...common, targets, prompt });
}

function printMachine(machine: MachineFacts, print: (line: string) => void): void {
  const { cores, cpu, node, commit, loadAverage } = machine;
  print(`${cores} cores, ${cpu}, node ${node}, commit ${commit?.slice(0, 12) ?? "unknown"}`);
  if (loadAverage > cores / 2) {
    print(`note: the machine was busy before the run (load ${loadAverage.toFixed(1)} on ${cores} cores)`);
  }
}

async function makeTarget(spec: TargetSpec, options: BenchOptions, signal: AbortSignal): Promise<Target> {
  const { timeoutMs } = options;
  if (spec.kind === "server") return new HttpTarget({ ...spec, timeoutMs });
  if (spec.kind === "node") return new NodeTarget({ ...spec, timeoutMs });
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
