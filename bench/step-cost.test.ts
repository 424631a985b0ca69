// The scheduler's steps are counted exactly and held to their bound.
import { expect, it } from "vitest";
import { measureSteps, type StepCost, stepBoundMs, stepCostFaults } from "./step-cost.ts";

it("times as many steps as were asked for, each with all sequences in it", async () => {
  for (const sequences of [1, 4, 16]) {
    const { times, cpuMsMean } = await measureSteps(sequences, 50, 10);
    expect(times.count).toBe(50);
    expect(times.percentile(0.5)).toBeGreaterThan(0);
    expect(cpuMsMean).toBeGreaterThan(0);
  }
});

it("lets a step cost 0.2 ms and 0.05 ms a sequence", () => {
  expect(stepBoundMs(1)).toBeCloseTo(0.25, 10);
  expect(stepBoundMs(16)).toBeCloseTo(1, 10);
});

it("fails what costs more, by its processor time", () => {
  const spread = (median: number) => ({ min: 0, median, max: 99 });
  const cost = (median: number): StepCost => ({
    sequences: 4,
    cpuMsMean: spread(median),
    p50Ms: spread(9),
    p99Ms: spread(9),
    boundMs: stepBoundMs(4),
  });
  expect(stepCostFaults(cost(0.4))).toEqual([]);
  expect(stepCostFaults(cost(0.41))).toEqual([
    "a step with 4 sequences costs 0.410 ms of processor time, above 0.40 ms",
  ]);
});
