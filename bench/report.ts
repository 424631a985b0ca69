// Turns what was measured into a table for people and into the document of the JSON file.
import type { Level } from "./compare.ts";
import { letters, megabytes, row, short, withRange } from "./format.ts";
import { growthOf, type MemoryGrowth, type SoakResult } from "./soak.ts";
import { pairedRatio, type Spread, spreadOf } from "./statistics.ts";
import { errorsOf, type RoundRecord, type Target } from "./target.ts";

interface RoundFigures {
  readonly tokensPerSecond: number;
  readonly ttftP50Ms: number;
  readonly ttftP99Ms: number;
  /** From the first request sent until every request had its first token. */
  readonly allFirstTokensMs: number;
  readonly itlP50Ms: number;
  readonly itlP99Ms: number;
}

interface TargetSummary {
  /** Each round's figures, in order. */
  readonly rounds: readonly RoundFigures[];
  /** Minimum, median and maximum of each figure over the rounds. */
  readonly figures: { readonly [Name in keyof RoundFigures]: Spread };
  readonly requests: number;
  readonly promptTokensMean: number;
  readonly completionTokensMean: number;
  /** 1 when every token comes in an event of its own. */
  readonly tokensPerChunk: number;
  /** Requests without `usage`, whose chunks were counted as tokens. */
  readonly countedByChunks: number;
  readonly errors: Readonly<Record<string, number>>;
}

export interface LevelSummary {
  readonly streams: number;
  readonly targets: readonly TargetSummary[];
  /** Tokens per second of A over B, round by round; undefined with one target. */
  readonly ratio: Spread | undefined;
  /** Likewise of the time until all requests had their first token. */
  readonly firstTokensRatio: Spread | undefined;
}

function figuresOf(record: RoundRecord): RoundFigures {
  return {
    tokensPerSecond: record.tokensPerSecond,
    ttftP50Ms: record.ttft.percentile(0.5),
    ttftP99Ms: record.ttft.percentile(0.99),
    allFirstTokensMs: record.allFirstTokensMs,
    itlP50Ms: record.itl.percentile(0.5),
    itlP99Ms: record.itl.percentile(0.99),
  };
}

function summarizeTarget(records: readonly RoundRecord[]): TargetSummary {
  const rounds = records.map(figuresOf);
  const sum = (pick: (record: RoundRecord) => number): number => records.reduce((total, one) => total + pick(one), 0);
  const spread = (name: keyof RoundFigures): Spread => spreadOf(rounds.map((round) => round[name]));
  const succeeded = sum((record) => record.requests - record.errorCount);
  return {
    rounds,
    figures: {
      tokensPerSecond: spread("tokensPerSecond"),
      ttftP50Ms: spread("ttftP50Ms"),
      ttftP99Ms: spread("ttftP99Ms"),
      allFirstTokensMs: spread("allFirstTokensMs"),
      itlP50Ms: spread("itlP50Ms"),
      itlP99Ms: spread("itlP99Ms"),
    },
    requests: sum((record) => record.requests),
    promptTokensMean: sum((record) => record.promptTokens) / succeeded,
    completionTokensMean: sum((record) => record.completionTokens) / succeeded,
    tokensPerChunk: sum((record) => record.completionTokens) / sum((record) => record.chunks),
    countedByChunks: sum((record) => record.countedByChunks),
    errors: errorsOf(records),
  };
}

export function summarizeLevel(level: Level): LevelSummary {
  const targets = level.records.map(summarizeTarget);
  const ratioOf = (name: "tokensPerSecond" | "allFirstTokensMs"): Spread | undefined => {
    const [first, second] = level.records.map((records) => records.map((record) => record[name]));
    return first === undefined || second === undefined ? undefined : pairedRatio(first, second);
  };
  return {
    streams: level.streams,
    targets,
    ratio: ratioOf("tokensPerSecond"),
    firstTokensRatio: ratioOf("allFirstTokensMs"),
  };
}

const columns = ["streams", "", "tokens/s", "TTFT ms p50 / p99", "ITL ms p50 / p99", "errors"];
const widths = [8, 4, 26, 30, 30, 6];

/** The line above the levels. */
export function tableHead(): string {
  return row(columns, widths);
}

/** One level as lines of the table: medians over the rounds, minimum and maximum in parentheses. */
export function levelLines(level: LevelSummary): string[] {
  const lines = level.targets.map(({ figures, errors }, index) =>
    row(
      [
        index === 0 ? String(level.streams) : "",
        letters[index] ?? "",
        withRange(figures.tokensPerSecond),
        `${withRange(figures.ttftP50Ms)} / ${short(figures.ttftP99Ms.median)}`,
        `${withRange(figures.itlP50Ms)} / ${short(figures.itlP99Ms.median)}`,
        String(Object.values(errors).reduce((total, count) => total + count, 0)),
      ],
      widths,
    ),
  );
  if (level.ratio !== undefined) lines.push(row(["", "A/B", withRange(level.ratio)], widths));
  return lines;
}

/** Under a level whose prompts share a prefix: how long until all streams speak. */
export function firstTokensLine({ targets, firstTokensRatio }: LevelSummary): string {
  const times = targets.map(({ figures }, index) => `${letters[index]} ${withRange(figures.allFirstTokensMs)}`);
  const ratio = firstTokensRatio === undefined ? [] : [`A/B ${withRange(firstTokensRatio)}`];
  return `${" ".repeat(widths[0] ?? 0)}until all had their first token, ms: ${[...times, ...ratio].join(", ")}`;
}

/** What a reader must know before trusting a level; empty when nothing is odd. */
export function levelNotes({ streams, targets }: LevelSummary): string[] {
  const notes: string[] = [];
  for (const [index, { errors, countedByChunks }] of targets.entries()) {
    const who = `${letters[index]} at ${streams}`;
    for (const [reason, count] of Object.entries(errors)) notes.push(`${who}: ${count} x ${reason}`);
    if (countedByChunks > 0) notes.push(`${who}: sent no usage, so chunks were counted as tokens`);
  }
  const [first, second] = targets;
  if (first === undefined || second === undefined) return notes;
  const uneven = (a: number, b: number): boolean => Math.abs(a / b - 1) > 0.03;
  if (uneven(first.promptTokensMean, second.promptTokensMean)) {
    const means = `${short(first.promptTokensMean)} and ${short(second.promptTokensMean)}`;
    notes.push(`at ${streams} the prompts had ${means} tokens: A and B did not do the same work`);
  }
  if (uneven(first.completionTokensMean, second.completionTokensMean)) {
    const means = `${short(first.completionTokensMean)} and ${short(second.completionTokensMean)}`;
    notes.push(`at ${streams} the answers had ${means} tokens: A and B did not do the same work`);
  }
  return notes;
}

export interface SoakSummary {
  readonly streams: number;
  readonly target: TargetSummary;
  readonly windowStart: number;
  readonly growth: readonly MemoryGrowth[];
  readonly series: SoakResult["series"];
}

export function summarizeSoak(result: SoakResult, streams: number, requests: number): SoakSummary {
  return {
    streams,
    target: summarizeTarget([result.record]),
    windowStart: result.windowStart,
    growth: result.series.map((series) => growthOf(series, result.windowStart, requests)),
    series: result.series,
  };
}

export function soakLines(summary: SoakSummary): string[] {
  const lines = summary.growth.map(({ pid, name, startBytes, endBytes, peakBytes, growthPercent }) => {
    const grown = Number.isNaN(growthPercent)
      ? "came or went in the window"
      : `${growthPercent < 0 ? "" : "+"}${growthPercent.toFixed(1)} %`;
    const sizes = `${megabytes(startBytes)} -> ${megabytes(endBytes)}, peak ${megabytes(peakBytes)}`;
    return `${String(pid).padStart(8)}  ${name.slice(0, 32).padEnd(32)}  ${sizes.padEnd(36)} ${grown}`;
  });
  return lines.length === 0 ? [] : [`memory from request ${summary.windowStart} to the last:`, ...lines];
}

/** How a target is named above the table. */
export function targetLine(target: Target, index: number): string {
  return `${letters[index]}  ${target.label}  ${target.model}`;
}
