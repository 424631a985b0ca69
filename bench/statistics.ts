// Sums up what several rounds measured: the middle one and how far the others lie from it.

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** The middle value, or the mean of the two middle ones; NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Minimum, median and maximum of the values that are numbers: a round without any token has no ITL. */
export function spreadOf(values: readonly number[]): Spread {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return { min: Number.NaN, median: Number.NaN, max: Number.NaN };
  return { min: Math.min(...known), median: median(known), max: Math.max(...known) };
}

/**
 * The spread of `first[i] / second[i]`: the ratio of two targets in the same round, so that a machine that slows down
 * for a while slows both. Rounds in which either has no figure are left out.
 */
export function pairedRatio(first: readonly number[], second: readonly number[]): Spread {
  const ratios = first.map((value, round) => value / (second[round] ?? Number.NaN));
  return spreadOf(ratios.filter(Number.isFinite));
}
