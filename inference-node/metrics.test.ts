// Metrics come out in Prometheus' text format.
import { expect, it } from "vitest";
import { MetricRegistry } from "./metrics.ts";

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
  const histogram = registry.histogram("h_seconds", "Times.");
  for (const value of [0.004, 0.3, 1_000]) histogram.observe(value, { m: "x" });
  const text = registry.render();
  expect(text).toContain('h_seconds_bucket{m="x",le="0.005"} 1\n');
  expect(text).toContain('h_seconds_bucket{m="x",le="0.25"} 1\n');
  expect(text).toContain('h_seconds_bucket{m="x",le="0.5"} 2\n');
  expect(text).toContain('h_seconds_bucket{m="x",le="+Inf"} 3\n');
  expect(text).toContain('h_seconds_sum{m="x"} 1000.304\nh_seconds_count{m="x"} 3\n');
});

it("escapes label values", () => {
  const registry = new MetricRegistry();
  registry.counter("c", "x").add(1, { m: 'a"b\\c\nd' });
  expect(registry.render()).toContain('c{m="a\\"b\\\\c\\nd"} 1');
});
