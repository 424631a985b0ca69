// How figures are written in tables: three digits that mean something, a dash for what there is not.
import type { Spread } from "./statistics.ts";

/** Names of the targets in tables. */
export const letters = ["A", "B"] as const;

/** Cells of a table's line, each as wide as its column. */
export function row(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, index) => cell.padEnd(widths[index] ?? 0))
    .join("")
    .trimEnd();
}

/** The median, with minimum and maximum in parentheses. */
export function withRange({ min, median, max }: Spread): string {
  return Number.isNaN(median) ? "-" : `${short(median)} (${short(min)}-${short(max)})`;
}

/** Three digits that mean something. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function megabytes(bytes: number): string {
  return Number.isNaN(bytes) ? "-" : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** "1 stream", "4 streams". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
