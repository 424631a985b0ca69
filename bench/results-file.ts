// Writes what a run measured as one JSON document.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { MachineFacts } from "./machine.ts";
import type { BenchOptions } from "./options.ts";
import type { Findings } from "./scenario.ts";
import { BenchError, type Target } from "./target.ts";

export interface Results {
  /** When the run began, ISO 8601. */
  readonly startedAt: string;
  readonly machine: MachineFacts;
  readonly options: BenchOptions;
  readonly targets: readonly Target[];
  readonly findings: Findings;
  /** Ctrl-C ended the run early. */
  readonly interrupted: boolean;
}

/** Where results go when no file is named; `root` is the checkout. */
export function defaultResultsPath(root: string, startedAt: string): string {
  return join(root, "bench", "out", `${startedAt.replaceAll(":", "-")}.json`);
}

/** Writes the document, making its directory. Throws a BenchError. */
export async function writeResults(path: string, results: Results): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `${JSON.stringify(documentOf(results), null, 2)}\n`);
  } catch (error) {
    throw new BenchError(`the results can't be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The document: keys stay out of it, since such files are sent around. Figures that do not exist are null. */
function documentOf(results: Results): object {
  const { target: _target, against: _against, metrics: _metrics, out: _out, ...workload } = results.options;
  return {
    version: 1,
    startedAt: results.startedAt,
    interrupted: results.interrupted,
    machine: results.machine,
    workload,
    targets: results.targets.map(({ label, model }) => ({ label, model })),
    levels: results.findings.levels,
    turns: results.findings.turns,
    stepCost: results.findings.stepCost,
    soak: results.findings.soak ?? null,
    stall: results.findings.stall ?? null,
    slowReaders: results.findings.slowReaders ?? null,
  };
}
