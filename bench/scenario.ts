// What every scenario gets and what a run has found, for the report, the JSON file and the exit code.
import type { BenchOptions } from "./options.ts";
import { type ProcessMemory, sampleProcesses } from "./process-memory.ts";
import type { ProgressOutput } from "./progress.ts";
import type { PromptOptions } from "./prompts.ts";
import type { LevelSummary, SoakSummary } from "./report.ts";
import { ServerTarget } from "./server-target.ts";
import type { SlowReadersSummary } from "./slow-readers-report.ts";
import type { StallSummary } from "./stall-report.ts";
import type { StepCost } from "./step-cost.ts";
import { BenchError, type Target } from "./target.ts";
import type { TurnsSummary } from "./turns-report.ts";

export interface ScenarioContext {
  readonly options: BenchOptions;
  readonly targets: readonly Target[];
  /** Fitted to the first target's tokeniser. */
  readonly prompt: PromptOptions;
  /** Prints a line of the report. */
  readonly print: (line: string) => void;
  readonly progressOutput: ProgressOutput;
  readonly signal: AbortSignal;
  /** Filled as the scenario goes on, so that an interrupted run keeps what is complete. */
  readonly findings: Findings;
}

/** What was measured; empty or undefined where the run's scenario is another. */
export interface Findings {
  readonly levels: LevelSummary[];
  soak: SoakSummary | undefined;
  readonly turns: TurnsSummary[];
  stall: StallSummary | undefined;
  slowReaders: SlowReadersSummary | undefined;
  readonly stepCost: StepCost[];
}

export function noFindings(): Findings {
  return { levels: [], soak: undefined, turns: [], stall: undefined, slowReaders: undefined, stepCost: [] };
}

export function isEmpty(findings: Findings): boolean {
  return Object.values(findings).every((found) => found === undefined || (Array.isArray(found) && found.length === 0));
}

/** The targets as servers; the options have refused others. */
export function serversOf(targets: readonly Target[]): ServerTarget[] {
  return targets.map((target) => {
    if (target instanceof ServerTarget) return target;
    throw new BenchError(`${target.label} is no server`);
  });
}

/** Looks at the watched processes; undefined when there are none. Throws a BenchError when none of them lives. */
export async function watcherOf({
  pids,
  treePids,
}: BenchOptions["watched"]): Promise<(() => Promise<ProcessMemory[]>) | undefined> {
  if (pids.length + treePids.length === 0) return undefined;
  const sample = () => sampleProcesses(pids, treePids);
  if ((await sample()).length > 0) return sample;
  throw new BenchError(`no process has one of the ids ${[...pids, ...treePids].join(", ")}`);
}
