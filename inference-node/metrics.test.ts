// Metrics come out in Prometheus' text format.
import { expect, it } from "vitest";
import { MetricRegistry } from "./metrics.ts";
import { parseExposition, sampleOf } from "./testing/exposition.ts";

it("writes counters and gauges with their labels", () => {
  const registry = new MetricRegistry();
  const counter = registry.counter("c_total", "Counts.");
  registry.gauge("g", "Now.", () => [{ labels: { m: "x" }, value: 7 }]);
  counter.add(2, { m: "x" });
  counter.add(1, { m: "x" });
  counter.add(1);
  expect(registry.render()).toBe(
    '# HELP c_total Counts.\n# TYPE c_total counter\nc_total{m="x"} 3\nc_total 1\n# HELP g Now.\n# TYPE g gauge\ng{m="x"} 7\n',
  );
});

it("writes histograms cumulatively, with sum and count", () => {
  const registry = new MetricRegistry();
  const histogram = registry.histogram("h_seconds", "Times.", [0.005, 0.25, 0.5]);
  for (const value of [0.004, 0.3, 1_000]) histogram.observe(value, { m: "x" });
  const text = registry.render();
  expect(text).toContain('h_seconds_bucket{m="x",le="0.005"} 1\n');
  expect(text).toContain('h_seconds_bucket{m="x",le="0.25"} 1\n');
  expect(text).toContain('h_seconds_bucket{m="x",le="0.5"} 2\n');
  expect(text).toContain('h_seconds_bucket{m="x",le="+Inf"} 3\n');
  expect(text).toContain('h_seconds_sum{m="x"} 1000.304\nh_seconds_count{m="x"} 3\n');
});

it("counts a value that lies on a bound below it, and one that came several times as often", () => {
  const registry = new MetricRegistry();
  const series = registry.histogram("h", "Times.", [1, 2]).series({});
  series.observe(1);
  series.observe(1.5, 3);
  const families = parseExposition(registry.render());
  expect(sampleOf(families, "h_bucket", { le: "1" })).toBe(1);
  expect(sampleOf(families, "h_bucket", { le: "2" })).toBe(4);
  expect(sampleOf(families, "h_sum")).toBe(5.5);
});

it("writes zeros for what is known before it was counted, and no more once it was", () => {
  const registry = new MetricRegistry();
  const seeds = () => [{ m: "x" }];
  const counter = registry.counter("c_total", "Counts.", seeds);
  registry.histogram("h", "Times.", [1], seeds);
  const read = () => parseExposition(registry.render());
  expect(sampleOf(read(), "c_total", { m: "x" })).toBe(0);
  expect(sampleOf(read(), "h_count", { m: "x" })).toBe(0);
  counter.add(5, { m: "x" });
  expect(sampleOf(read(), "c_total", { m: "x" })).toBe(5);
});

it("stays readable whatever labels, help and values hold", () => {
  const registry = new MetricRegistry();
  registry.counter("c", "A \\ and\na line.").add(1, { m: 'a"b\\c\nd' });
  registry.gauge("g", "x", () =>
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1e-9, 1e21].map((value, i) => ({
      labels: { i: String(i) },
      value,
    })),
  );
  const text = registry.render();
  expect(text).toContain('c{m="a\\"b\\\\c\\nd"} 1');
  expect(sampleOf(parseExposition(text), "c", { m: 'a"b\\c\nd' })).toBe(1);
  expect(sampleOf(parseExposition(text), "g", { i: "0" })).toBe(Number.POSITIVE_INFINITY);
});

it.each([
  ["a family without HELP", "# TYPE a counter\na 1\n"],
  ["a family named twice", "# HELP a x\n# TYPE a counter\na 1\n# HELP a x\n# TYPE a counter\na 1\n"],
  ["a sample of another family", "# HELP a x\n# TYPE a counter\nb 1\n"],
  ["a series that comes twice", '# HELP a x\n# TYPE a gauge\na{m="1"} 1\na{m="1"} 2\n'],
  ["JavaScript's infinity", "# HELP a x\n# TYPE a gauge\na Infinity\n"],
  ["an unescaped quote", '# HELP a x\n# TYPE a gauge\na{m="""} 1\n'],
  [
    "buckets that fall",
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
  ],
  ["a histogram without its last bucket", '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n'],
])("the reader of these tests refuses %s", (_name, text) => {
  expect(() => parseExposition(text)).toThrow();
});
