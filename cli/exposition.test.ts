// Two readings of a node's metrics say what happened between them.
import { expect, test } from "vitest";
import { quantileOf, readScrape, rise, sumOf } from "./exposition.ts";

const scrape = readScrape(
  [
    "# HELP a x",
    "# TYPE a counter",
    'a{model_name="m",priority="x"} 3',
    'a{model_name="m",priority="y"} 4',
    'a{model_name="n \\"q\\"\\n"} 5',
    "b 1e3",
    "c +Inf",
    "rubbish",
    "",
  ].join("\n"),
);

test("samples are summed over the labels that do not matter", () => {
  expect(sumOf(scrape, "a", "m")).toBe(7);
  expect(sumOf(scrape, "a")).toBe(12);
  expect(sumOf(scrape, "a", 'n "q"\n')).toBe(5);
  expect(sumOf(scrape, "b")).toBe(1_000);
  expect(sumOf(scrape, "c")).toBe(Number.POSITIVE_INFINITY);
  expect(sumOf(scrape, "none")).toBeUndefined();
});

test("a counter that fell began anew", () => {
  expect(rise(10, 15)).toBe(5);
  expect(rise(10, 3)).toBe(3);
  expect(rise(undefined, 3)).toBe(3);
});

const histogram = (counts: readonly number[]) =>
  readScrape(["0.1", "0.2", "+Inf"].map((le, i) => `h_bucket{model_name="m",le="${le}"} ${counts[i]}`).join("\n"));

test("a quantile lies within its bucket, in proportion", () => {
  expect(quantileOf(0.5, "h", "m", histogram([0, 10, 10]))).toBeCloseTo(0.15);
  expect(quantileOf(0.5, "h", "m", histogram([10, 10, 10]))).toBeCloseTo(0.05);
  expect(quantileOf(0.99, "h", "m", histogram([0, 0, 10]))).toBe(0.2);
});

test("of two readings only what came between counts", () => {
  expect(quantileOf(0.5, "h", "m", histogram([100, 110, 110]), histogram([100, 100, 100]))).toBeCloseTo(0.15);
  expect(quantileOf(0.5, "h", "m", histogram([5, 5, 5]), histogram([5, 5, 5]))).toBeUndefined();
});

test("a node that began anew between the readings is read from its beginning", () => {
  expect(quantileOf(0.5, "h", "m", histogram([0, 4, 4]), histogram([100, 100, 100]))).toBeCloseTo(0.15);
});
