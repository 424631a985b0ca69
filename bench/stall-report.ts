// Sums up what a long prompt does to a running stream: ITL before and meanwhile, and their ratio.
import { letters, row, short, withRange } from "./format.ts";
import type { StallRound } from "./stall.ts";
import { pairedRatio, type Spread, spreadOf } from "./statistics.ts";

/** A target's rounds that went well, and the reasons of those that did not. */
export interface StallRounds {
  readonly seen: StallRound[];
  readonly errors: Record<string, number>;
}

interface StallTarget {
  /** ITL of the running stream, alone and while the long prompt was prefilled. */
  readonly quietP50Ms: Spread;
  readonly quietP99Ms: Spread;
  readonly duringP50Ms: Spread;
  readonly duringP99Ms: Spread;
  /** Meanwhile over alone, round by round. */
  readonly p50Ratio: Spread;
  readonly p99Ratio: Spread;
  /** Gaps of the running stream in a round while the long prompt was prefilled. */
  readonly duringGapsMean: number;
  readonly longTtftMs: Spread;
  readonly longPromptTokensMean: number;
  readonly rounds: number;
  readonly endedEarly: number;
  readonly errors: Readonly<Record<string, number>>;
}

export interface StallSummary {
  readonly targets: readonly StallTarget[];
  /** p99 ITL meanwhile, A over B; undefined with one target. */
  readonly ratio: Spread | undefined;
}

export function summarizeStall(rounds: readonly StallRounds[]): StallSummary {
  const [first, second] = rounds.map(({ seen }) => seen.map(({ during }) => during.percentile(0.99)));
  return {
    targets: rounds.map(summarizeTarget),
    ratio: first === undefined || second === undefined ? undefined : pairedRatio(first, second),
  };
}

function summarizeTarget({ seen, errors }: StallRounds): StallTarget {
  const each = (which: "quiet" | "during", fraction: number): number[] =>
    seen.map((round) => round[which].percentile(fraction));
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    quietP50Ms: spreadOf(each("quiet", 0.5)),
    quietP99Ms: spreadOf(each("quiet", 0.99)),
    duringP50Ms: spreadOf(each("during", 0.5)),
    duringP99Ms: spreadOf(each("during", 0.99)),
    p50Ratio: pairedRatio(each("during", 0.5), each("quiet", 0.5)),
    p99Ratio: pairedRatio(each("during", 0.99), each("quiet", 0.99)),
    duringGapsMean: mean(seen.map(({ during }) => during.count)),
    longTtftMs: spreadOf(seen.map(({ longTtftMs }) => longTtftMs)),
    longPromptTokensMean: mean(seen.map(({ longPromptTokens }) => longPromptTokens ?? Number.NaN)),
    rounds: seen.length,
    endedEarly: seen.filter(({ endedEarly }) => endedEarly).length,
    errors,
  };
}

const columns = ["", "ITL quiet ms p50 / p99", "ITL meanwhile ms p50 / p99", "ratio p50", "ratio p99", "long TTFT ms"];
const widths = [4, 32, 32, 20, 20, 24];

/** The line above the targets. */
export function stallHead(): string {
  return row(columns, widths);
}

/** A line a target, and the ratio of the targets. */
export function stallLines({ targets, ratio }: StallSummary): string[] {
  const lines = targets.map((target, index) =>
    row(
      [
        letters[index] ?? "",
        `${withRange(target.quietP50Ms)} / ${short(target.quietP99Ms.median)}`,
        `${withRange(target.duringP50Ms)} / ${short(target.duringP99Ms.median)}`,
        withRange(target.p50Ratio),
        withRange(target.p99Ratio),
        withRange(target.longTtftMs),
      ],
      widths,
    ),
  );
  return ratio === undefined ? lines : [...lines, `A/B of p99 ITL meanwhile: ${withRange(ratio)}`];
}

/** What a reader must know before trusting them. */
export function stallNotes({ targets }: StallSummary): string[] {
  return targets.flatMap(({ duringGapsMean, longPromptTokensMean, endedEarly, rounds, errors }, index) => {
    const who = letters[index];
    const long = `the long prompt had ${short(longPromptTokensMean)} tokens`;
    const notes = [`note: ${who}: ${long}, and the stream ${short(duringGapsMean)} gaps meanwhile`];
    if (endedEarly > 0) {
      notes.push(`note: ${who}: the stream ended before the long prompt was in, in ${endedEarly} of ${rounds} rounds`);
    }
    return [...notes, ...Object.entries(errors).map(([reason, count]) => `note: ${who}: ${count} x ${reason}`)];
  });
}

/** Why the run counts as failed. */
export function stallFaults({ targets }: StallSummary, ratioMax: number | undefined): string[] {
  const p99 = targets[0]?.p99Ratio.median ?? Number.NaN;
  if (ratioMax === undefined || p99 <= ratioMax) return [];
  return [`p99 ITL while a long prompt comes in is ${p99.toFixed(2)} of the quiet one, above ${ratioMax}`];
}
