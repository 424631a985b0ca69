// Writes what a soak does and found, for people and as JSON.
import { ends, type Failure, type Ledger } from "./ledger.ts";
import type { Progress, SoakResult } from "./soak.ts";

export interface Output {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** Off a terminal a line each so many milliseconds is enough. */
const lineEveryMs = 15_000;
const failuresShown = 10;

/** The progress line, drawn again in its place on a terminal. */
export class ProgressLine {
  readonly #output: Output;
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(output: Output) {
    this.#output = output;
  }

  show(progress: Progress): void {
    const { isTTY, columns = 80 } = this.#output;
    if (isTTY) {
      this.#output.write(`\r\x1b[K${progressOf(progress).slice(0, columns - 1)}`);
      return;
    }
    if (progress.elapsedMs - this.#shownAtMs < lineEveryMs) return;
    this.#shownAtMs = progress.elapsedMs;
    this.#output.write(`${progressOf(progress)}\n`);
  }

  /** A line of its own above the progress. */
  event(sentence: string): void {
    this.#output.write(`${this.#output.isTTY ? "\r\x1b[K" : ""}${sentence}\n`);
  }
}

function progressOf({ stage, elapsedMs, ledger, running, kills, memory }: Progress): string {
  const { counts, documents } = ledger;
  const seconds = Math.floor(elapsedMs / 1000);
  const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const size = (role: Parameters<typeof memory.now>[0]): string => ((memory.now(role) ?? 0) / 1e6).toFixed(0);
  return (
    `${time} ${stage}: ${running} running, ${counts.answered} answered, ${counts.refused} refused, ${counts.turned_away} turned ` +
    `away, ${counts.lost} lost, ${counts.left} left, ${counts.failed} failed; ${kills} kills; ${documents.whole} documents; ` +
    `MB: node ${size("node")}, workerd ${size("workerd")}, engine ${size("engine")}`
  );
}

/** The report: a table by kind, the failures, and a line for each guarantee. */
export function reportOf({ findings, verdict, ledger, kills, hangs, interrupted, logs }: SoakResult): string {
  const { prompt, cached, completion } = ledger.tokens;
  return [
    "",
    ...tableOf(ledger),
    "",
    `${prompt} prompt tokens, ${cached} of them reused; ${completion} generated; ${kills} kills, ${hangs} hangs; seed ${findings.seed}.`,
    ...findings.failures.slice(0, failuresShown).map(lineOf),
    "",
    ...verdict.map(
      ({ name, held, sentence }) =>
        `${held === undefined ? "?     " : held ? "held  " : "BROKEN"}  ${name}: ${sentence}`,
    ),
    ...(interrupted ? ["The run was interrupted; this is what it showed so far."] : []),
    ...(logs === undefined ? [] : [`The logs of node and edge are in ${logs}.`]),
    "",
  ].join("\n");
}

function tableOf({ byKind, counts }: Ledger): string[] {
  const rows = [...byKind].toSorted(([a], [b]) => a.localeCompare(b));
  const line = (name: string, cells: readonly (string | number)[]): string =>
    `${name.padEnd(28)}${cells.map((cell) => String(cell).padStart(12)).join("")}`;
  return [
    line("", ends),
    ...rows.map(([kind, row]) =>
      line(
        kind,
        ends.map((end) => row[end]),
      ),
    ),
    line(
      "all",
      ends.map((end) => counts[end]),
    ),
  ];
}

function lineOf({ kind, requestId, reason, sentAtMs, endedAtMs, status }: Failure): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  return `FAILED  ${kind}, ${requestId ?? "no id"}, status ${status ?? "none"}, ${seconds(sentAtMs)} to ${seconds(endedAtMs)} s: ${reason}`;
}

/** Everything that was found, for programs. */
export function jsonOf({ findings, verdict, ledger, ...rest }: SoakResult): string {
  const { byKind, counts, tokens } = ledger;
  return `${JSON.stringify({ ...rest, verdict, counts, tokens, byKind: Object.fromEntries(byKind), findings }, null, 2)}\n`;
}
