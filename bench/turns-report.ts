// Sums up chats of several turns: the TTFT of each turn, and its ratio to the first one's.
import { letters, row, short, withRange } from "./format.ts";
import { pairedRatio, type Spread, spreadOf } from "./statistics.ts";
import { errorsOf, type RoundRecord } from "./target.ts";

interface TurnSummary {
  readonly ttftP50Ms: Spread;
  /** Until all streams had their first token. */
  readonly allFirstTokensMs: Spread;
  /** TTFT over that of the first turn, round by round; 1 of the first itself. */
  readonly ofFirst: Spread;
  readonly promptTokensMean: number;
  /** Prompt tokens that the server says it had computed before. */
  readonly cachedTokensMean: number;
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
}

export interface TurnsSummary {
  readonly streams: number;
  /** Of each target, its turns in order. */
  readonly targets: readonly (readonly TurnSummary[])[];
  /** TTFT of A over B in each turn; empty with one target. */
  readonly ratios: readonly Spread[];
}

/** `rounds` holds for each target its rounds, and for each round the records of its turns. */
export function summarizeTurns(
  streams: number,
  rounds: readonly (readonly (readonly RoundRecord[])[])[],
): TurnsSummary {
  const times = rounds.map(timesOf);
  const [first, second] = times;
  return {
    streams,
    targets: rounds.map(summarizeTarget),
    ratios: second === undefined ? [] : (first ?? []).map((own, turn) => pairedRatio(own, second[turn] ?? [])),
  };
}

/** The TTFT of each turn, round by round. */
function timesOf(rounds: readonly (readonly RoundRecord[])[]): number[][] {
  return (rounds[0] ?? []).map((_, turn) => rounds.map((round) => round[turn]?.ttft.percentile(0.5) ?? Number.NaN));
}

function summarizeTarget(rounds: readonly (readonly RoundRecord[])[]): TurnSummary[] {
  const times = timesOf(rounds);
  return times.map((own, turn) => {
    const records = rounds.map((round) => round[turn]).filter((record) => record !== undefined);
    const sum = (pick: (record: RoundRecord) => number): number => records.reduce((total, one) => total + pick(one), 0);
    const succeeded = sum((record) => record.requests - record.errorCount);
    return {
      ttftP50Ms: spreadOf(own),
      allFirstTokensMs: spreadOf(records.map((record) => record.allFirstTokensMs)),
      ofFirst: pairedRatio(own, times[0] ?? []),
      promptTokensMean: sum((record) => record.promptTokens) / succeeded,
      cachedTokensMean: sum((record) => record.cachedTokens) / succeeded,
      requests: sum((record) => record.requests),
      errors: errorsOf(records),
    };
  });
}

const columns = ["chats", "", "turn", "TTFT ms p50", "of turn 1", "all speak ms", "prompt tokens", "cached"];
const widths = [8, 5, 6, 24, 24, 24, 15, 8];

/** The line above the chats. */
export function turnsHead(): string {
  return row(columns, widths);
}

/** A line a target and turn, then one a turn with the ratio of the targets. */
export function turnsLines({ streams, targets, ratios }: TurnsSummary): string[] {
  const lines = targets.flatMap((turns, index) =>
    turns.map((turn, number) =>
      row(
        [
          index === 0 && number === 0 ? String(streams) : "",
          letters[index] ?? "",
          String(number + 1),
          withRange(turn.ttftP50Ms),
          number === 0 ? "" : withRange(turn.ofFirst),
          withRange(turn.allFirstTokensMs),
          short(turn.promptTokensMean),
          short(turn.cachedTokensMean),
        ],
        widths,
      ),
    ),
  );
  return [...lines, ...ratios.map((ratio, turn) => row(["", "A/B", String(turn + 1), withRange(ratio)], widths))];
}

/** What a reader must know before trusting them. */
export function turnsNotes({ streams, targets }: TurnsSummary): string[] {
  return targets.flatMap((turns, index) =>
    turns.flatMap(({ errors }, turn) =>
      Object.entries(errors).map(
        ([reason, count]) => `note: ${letters[index]} at ${streams}, turn ${turn + 1}: ${count} x ${reason}`,
      ),
    ),
  );
}

/** Why the run counts as failed: later turns of the first target that are too slow against its first one. */
export function turnsFaults({ streams, targets }: TurnsSummary, ratioMax: number | undefined): string[] {
  if (ratioMax === undefined) return [];
  return (targets[0] ?? []).slice(1).flatMap(({ ofFirst }, later) => {
    if (ofFirst.median <= ratioMax) return [];
    const figure = `TTFT of turn ${later + 2} is ${ofFirst.median.toFixed(3)} of the first one's`;
    return [`at ${streams} the ${figure}, above ${ratioMax}`];
  });
}
