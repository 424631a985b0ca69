// Holds medians, spreads and paired ratios to hand-made values.
import { describe, expect, it } from "vitest";
import { median, pairedRatio, spreadOf } from "./statistics.ts";

describe("median", () => {
  it("is the middle of an odd number of values, whatever their order", () => {
    expect(median([9, 100, 2])).toBe(9);
  });
  it("is the mean of the two middle ones of an even number", () => {
    expect(median([1, 10, 4, 2])).toBe(3);
  });
  it("is no number of nothing", () => {
    expect(median([])).toBeNaN();
  });
  it("leaves its argument as it was", () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });
});

describe("spreadOf", () => {
  it("gives minimum, median and maximum", () => {
    expect(spreadOf([5, 1, 3])).toEqual({ min: 1, median: 3, max: 5 });
  });
  it("leaves out rounds that have no figure", () => {
    expect(spreadOf([Number.NaN, 2, 4])).toEqual({ min: 2, median: 3, max: 4 });
    expect(spreadOf([Number.NaN]).median).toBeNaN();
  });
});

describe("pairedRatio", () => {
  it("compares round by round, so that a slow minute of the machine does not move it", () => {
    expect(pairedRatio([90, 45, 9], [100, 50, 10])).toEqual({ min: 0.9, median: 0.9, max: 0.9 });
  });
  it("leaves out rounds in which one target has no figure", () => {
    expect(pairedRatio([90, Number.NaN, 80], [100, 50, 0])).toEqual({ min: 0.9, median: 0.9, max: 0.9 });
    expect(pairedRatio([90, 80], [100]).max).toBe(0.9);
  });
});
