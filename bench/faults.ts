// Why a run counts as failed: requests that failed, and figures beyond the bounds that the command line set.
import type { BenchOptions } from "./options.ts";
import type { Findings } from "./scenario.ts";
import { slowReadersFaults } from "./slow-readers-report.ts";
import { stallFaults } from "./stall-report.ts";
import { stepCostFaults } from "./step-cost.ts";
import { turnsFaults } from "./turns-report.ts";

/** A sentence for each; empty when the run is good. */
export function faultsOf(findings: Findings, options: BenchOptions): string[] {
  const { turns, stall, slowReaders, stepCost } = findings;
  return [
    ...requestFaults(findings),
    ...levelFaults(findings, options),
    ...soakFaults(findings, options),
    ...turns.flatMap((summary) => turnsFaults(summary, options.ratioMax)),
    ...(stall === undefined ? [] : stallFaults(stall, options.ratioMax)),
    ...(slowReaders === undefined ? [] : slowReadersFaults(slowReaders, options.slowReaders.lagMaxMs)),
    ...stepCost.flatMap(stepCostFaults),
  ];
}

function requestFaults({ levels, soak, turns, stall, slowReaders }: Findings): string[] {
  const summaries = [
    ...levels.flatMap((level) => level.targets),
    ...(soak === undefined ? [] : [soak.target]),
    ...turns.flatMap((summary) => summary.targets.flat()),
    ...(stall?.targets ?? []),
    ...(slowReaders === undefined ? [] : [slowReaders]),
  ];
  const errors = summaries
    .flatMap((summary) => Object.values(summary.errors))
    .reduce((total, count) => total + count, 0);
  return errors === 0 ? [] : [`${errors} ${errors === 1 ? "request" : "requests"} failed`];
}

function levelFaults({ levels }: Findings, { ratioMin, ratioMax }: BenchOptions): string[] {
  return levels.flatMap(({ streams, ratio, firstTokensRatio }) => {
    const faults: string[] = [];
    if (ratioMin !== undefined && ratio !== undefined && !(ratio.median >= ratioMin)) {
      faults.push(`at ${streams} the ratio is ${ratio.median.toFixed(3)}, below ${ratioMin}`);
    }
    if (ratioMax !== undefined && firstTokensRatio !== undefined && !(firstTokensRatio.median <= ratioMax)) {
      const figure = `A/B of the time until all had their first token is ${firstTokensRatio.median.toFixed(3)}`;
      faults.push(`at ${streams} ${figure}, above ${ratioMax}`);
    }
    return faults;
  });
}

function soakFaults({ soak: found }: Findings, { soak }: BenchOptions): string[] {
  return (found?.growth ?? [])
    .filter(({ growthPercent }) => growthPercent >= soak.growthMaxPercent)
    .map(({ pid, name, growthPercent }) => {
      return `${name} (${pid}) grew by ${growthPercent.toFixed(1)} %, not less than ${soak.growthMaxPercent} %`;
    });
}
