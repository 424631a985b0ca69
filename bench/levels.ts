// Runs the benchmark's first scenario: speed at each number of streams, one target's against another's.
import { type ComparisonObserver, compare, roundCount } from "./compare.ts";
import { counted, letters } from "./format.ts";
import { LoopTarget } from "./loop-target.ts";
import { Progress } from "./progress.ts";
import { firstTokensLine, levelLines, levelNotes, summarizeLevel, tableHead } from "./report.ts";
import type { ScenarioContext } from "./scenario.ts";

/** Share of a core that the idle loop may use of the run's time before a warning, in milliseconds. */
const idleCpuMsMax = 50;

/** Measures each level, prints it and adds it to the findings. */
export async function runLevels(context: ScenarioContext): Promise<void> {
  const { options, targets, prompt, print, progressOutput, signal, findings } = context;
  const plan = { ...options, prompt, sampling: options };
  const progress = new Progress(progressOutput, roundCount(plan, targets.length));
  const observer: ComparisonObserver = {
    roundStarts: ({ streams, target, round }) =>
      progress.round(counted(streams, "stream"), round, plan.rounds, letters[target] ?? ""),
    roundEnded: () => progress.advance(),
  };
  print("");
  print(tableHead());
  try {
    for await (const level of compare(targets, plan, observer, signal)) {
      const summary = summarizeLevel(level);
      findings.levels.push(summary);
      progress.clear();
      for (const line of levelLines(summary)) print(line);
      if (options.sharedPrefix > 0) print(firstTokensLine(summary));
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
