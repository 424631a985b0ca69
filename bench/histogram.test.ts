// Holds the histogram to exact percentiles within its stated error.
import { describe, expect, it } from "vitest";
import { Histogram } from "./histogram.ts";

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe("Histogram", () => {
  it("gives percentiles within one per cent of the exact ones", () => {
    const values = Array.from({ length: 10_000 }, (_, index) => 0.05 * 1.0012 ** index);
    const histogram = histogramOf(values.toReversed());
    for (const fraction of [0.01, 0.25, 0.5, 0.9, 0.99]) {
      const exact = values[Math.ceil(fraction * values.length) - 1] ?? Number.NaN;
      expect(Math.abs(histogram.percentile(fraction) / exact - 1)).toBeLessThan(0.01);
    }
  });

  it("gives the exact minimum, maximum and mean", () => {
    const histogram = histogramOf([3, 1.234567, 99.87654]);
    expect(histogram.percentile(0)).toBeCloseTo(1.234567, 1);
    expect(histogram.percentile(1)).toBe(99.87654);
    expect(histogram.mean).toBeCloseTo((3 + 1.234567 + 99.87654) / 3, 10);
    expect(histogram.count).toBe(3);
  });

  it("gives a single value back for every percentile", () => {
    const histogram = histogramOf([42.5]);
    for (const fraction of [0, 0.5, 0.99, 1]) expect(histogram.percentile(fraction)).toBe(42.5);
  });

  it("takes the second of two as the 99th percentile and the first as the median", () => {
    const histogram = histogramOf([10, 1000]);
    expect(histogram.percentile(0.5)).toBeCloseTo(10, 0);
    expect(histogram.percentile(0.99)).toBe(1000);
  });

  it("has no figures before anything was recorded", () => {
    expect(new Histogram().percentile(0.5)).toBeNaN();
    expect(new Histogram().mean).toBeNaN();
  });

  it("keeps gaps of nothing and of more than an hour in its end buckets", () => {
    const histogram = histogramOf([0, 0, 1e9]);
    expect(histogram.percentile(0.5)).toBe(0);
    expect(histogram.percentile(1)).toBe(1e9);
  });

  it("counts a clock that stepped back as no time", () => {
    expect(histogramOf([-5]).percentile(0.5)).toBe(0);
  });

  it("refuses what is no number instead of spoiling the figures", () => {
    expect(() => new Histogram().record(Number.NaN)).toThrow(RangeError);
    expect(() => new Histogram().record(Number.POSITIVE_INFINITY)).toThrow(RangeError);
  });
});
