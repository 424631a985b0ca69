// What the command prints: results on stdout, remarks and progress on stderr, colours only where a person reads.
import { stripVTControlCharacters, styleText } from "node:util";

/** As much of a stream as the output needs; process.stdout is one. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface OutputOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** One JSON value on stdout, nothing else. */
  readonly json: boolean;
  readonly noColor: boolean;
}

type Style = Parameters<typeof styleText>[0];

export interface ProgressState {
  readonly label: string;
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
}

const BAR_CELLS = 24;

export class Output {
  readonly json: boolean;
  readonly #stdout: Sink;
  readonly #stderr: Sink;
  readonly #noColor: boolean;
  #lastProgress: string | undefined;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.#stdout = options.stdout;
    this.#stderr = options.stderr;
    this.#noColor = options.noColor;
  }

  /** A line of the result. */
  line(text: string): void {
    this.#stdout.write(`${text}\n`);
  }

  /** The whole result, for programs. */
  value(value: unknown): void {
    this.#stdout.write(`${JSON.stringify(value, null, this.#stdout.isTTY ? 2 : undefined)}\n`);
  }

  /** The terminal that shows the result, and its size now; undefined where none does, or a program reads. */
  get terminal(): { readonly columns: number; readonly rows: number } | undefined {
    const { isTTY, columns, rows } = this.#stdout;
    return isTTY && !this.json ? { columns: columns ?? 80, rows: rows ?? 24 } : undefined;
  }

  /** Text for the terminal as it is, control characters and all. */
  raw(text: string): void {
    this.#stdout.write(text);
  }

  /** A remark that is no part of the result; none with --json. */
  remark(text: string): void {
    if (this.json) return;
    this.clearProgress();
    this.#stderr.write(`${text}\n`);
  }

  /** A failure, to people. */
  complain(text: string): void {
    this.clearProgress();
    this.#stderr.write(`${this.#paint(this.#stderr, "red", "error:")} ${text}\n`);
  }

  /** Styles text of the result. */
  style(style: Style, text: string): string {
    return this.#paint(this.#stdout, style, text);
  }

  /** Styles text of a remark. */
  styleRemark(style: Style, text: string): string {
    return this.#paint(this.#stderr, style, text);
  }

  /** Rows under headings, columns aligned, the last one ragged. */
  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    const safe = rows.map((row) => row.map(printable));
    const widths = headings.map((heading, column) =>
      Math.max(heading.length, ...safe.map((row) => visibleWidth(row[column] ?? ""))),
    );
    const format = (row: readonly string[]): string =>
      row
        .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - visibleWidth(cell)))
        .join("  ")
        .trimEnd();
    this.line(this.style("bold", format(headings)));
    for (const row of safe) this.line(format(row));
  }

  /** Redraws the progress bar; where nobody watches, one line a phase. */
  progress(state: ProgressState): void {
    if (!this.#stderr.isTTY) {
      if (!this.json && this.#lastProgress !== state.label) this.#stderr.write(`${state.label}\n`);
      this.#lastProgress = state.label;
      return;
    }
    const columns = this.#stderr.columns ?? 80;
    this.#stderr.write(`\r${renderProgress(state).slice(0, columns - 1)}\u001b[K`);
    this.#lastProgress = state.label;
  }

  /** Wipes the bar before other text. */
  clearProgress(): void {
    if (this.#stderr.isTTY && this.#lastProgress !== undefined) this.#stderr.write("\r\u001b[K");
    this.#lastProgress = undefined;
  }

  #paint(sink: Sink, style: Style, text: string): string {
    return sink.isTTY && !this.#noColor ? styleText(style, text, { validateStream: false }) : text;
  }
}

function renderProgress({ label, doneBytes, totalBytes }: ProgressState): string {
  if (totalBytes === undefined || totalBytes <= 0) {
    return doneBytes > 0 ? `${label}  ${formatBytes(doneBytes)}` : label;
  }
  const part = Math.min(1, doneBytes / totalBytes);
  const full = Math.floor(part * BAR_CELLS);
  const bar = "█".repeat(full) + "░".repeat(BAR_CELLS - full);
  const percent = `${Math.floor(part * 100)} %`.padStart(5);
  return `${label}  ${bar} ${percent}  ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
}

/** "98.4 MB": decimal units, one digit. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** "2026-11-25 14:09 UTC" of Unix seconds or an ISO time; the text itself when it is neither. */
export function formatTime(time: unknown): string {
  const date = typeof time === "number" ? new Date(time * 1000) : new Date(String(time));
  if (Number.isNaN(date.getTime())) return String(time);
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** Text of another's making, without what would move the cursor or change the colours. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(/\p{Cc}/gu, " ");
}

function visibleWidth(text: string): number {
  return [...text].length;
}
