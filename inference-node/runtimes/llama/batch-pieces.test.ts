// What a piece of the batch costs is found out from steps of different make, and taken for little until then.
import { describe, expect, test } from "vitest";
import { countPieces, PieceCost } from "./batch-pieces.ts";

test.each([
  [[], 0],
  [[3], 1],
  [[0, 1, 2], 1],
  [[2, 0, 1], 1],
  [[0, 2], 2],
  [[5, 1, 2, 7, 6], 2],
])("slots %j come in %i pieces", (slots, pieces) => {
  expect(countPieces(new Set(slots))).toBe(pieces);
});

/** A machine on which a piece takes 9 ms and a token 0.5 ms. */
const machineMs = (tokens: number, pieces: number): number => 9 * pieces + 0.5 * tokens;

describe("the cost of a piece", () => {
  test("is nothing before a step was seen", () => {
    expect(new PieceCost().ms).toBe(0);
  });

  test("is found where the number of streams changes, even if all came in one piece", () => {
    const cost = new PieceCost();
    for (let i = 0; i < 60; i++) cost.observe(1 + (i % 8), 1, machineMs(1 + (i % 8), 1));
    expect(cost.ms).toBeGreaterThan(7);
    expect(cost.ms).toBeLessThan(9.5);
  });

  test("is found where the number of pieces changes", () => {
    const cost = new PieceCost();
    for (let i = 0; i < 60; i++) cost.observe(8, 1 + (i % 2), machineMs(8, 1 + (i % 2)));
    expect(cost.ms).toBeGreaterThan(7);
    expect(cost.ms).toBeLessThan(9.5);
  });

  test("is taken for that of a token while all steps look the same", () => {
    const cost = new PieceCost();
    for (let i = 0; i < 500; i++) cost.observe(8, 2, machineMs(8, 2));
    expect(cost.ms).toBeCloseTo(machineMs(8, 2) / 10, 1);
  });

  test("is never less than nothing", () => {
    const cost = new PieceCost();
    for (let i = 0; i < 60; i++) cost.observe(8, 1 + (i % 2), 20 - 3 * (i % 2));
    expect(cost.ms).toBe(0);
  });

  test("does not follow one step that something else held up", () => {
    const cost = new PieceCost();
    for (let i = 0; i < 60; i++) cost.observe(8, 1 + (i % 2), machineMs(8, 1 + (i % 2)));
    cost.observe(8, 2, 60_000);
    expect(cost.ms).toBeLessThan(15);
  });
});
