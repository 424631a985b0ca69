// The node's /metrics as a scraper reads it: vLLM's names and meanings under the prefix sluice_.
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Family, parseExposition, sampleOf } from "./testing/exposition.ts";
import { scripted } from "./testing/test-client.ts";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

const model = { model_name: "scripted" };
let node: TestNode;

beforeEach(async () => {
  node = await startTestNode({ sequences: 1 });
});

afterEach(() => node.close());

const scrape = async (): Promise<Map<string, Family>> => parseExposition(await node.metrics());

const types = {
  num_requests_running: "gauge",
  num_requests_waiting: "gauge",
  kv_cache_usage_perc: "gauge",
  prefix_cache_queries_total: "counter",
  prefix_cache_hits_total: "counter",
  prompt_tokens_total: "counter",
  generation_tokens_total: "counter",
  request_success_total: "counter",
  admission_rejections_total: "counter",
  runtime_restarts_total: "counter",
  spec_decode_num_draft_tokens_total: "counter",
  spec_decode_num_accepted_tokens_total: "counter",
  time_to_first_token_seconds: "histogram",
  inter_token_latency_seconds: "histogram",
  e2e_request_latency_seconds: "histogram",
  request_queue_time_seconds: "histogram",
  request_prefill_time_seconds: "histogram",
  request_decode_time_seconds: "histogram",
  request_prompt_tokens: "histogram",
  request_generation_tokens: "histogram",
  iteration_tokens_total: "histogram",
};

test("every family is there from the start, with zeros for the model that is served", async () => {
  const families = await scrape();
  for (const [name, type] of Object.entries(types)) expect(families.get(`sluice_${name}`)?.type, name).toBe(type);
  expect(sampleOf(families, "sluice_prompt_tokens_total", model)).toBe(0);
  expect(sampleOf(families, "sluice_time_to_first_token_seconds_count", model)).toBe(0);
  expect(families.has("sluice_num_preemptions_total")).toBe(false);
});

test("a streamed answer counts its tokens, its first token once and each later one", async () => {
  await node.clients.web.generate(scripted({ text: "one two three four", chunks: 4, delay_ms: 20 }));
  const families = await scrape();
  const tokens = sampleOf(families, "sluice_generation_tokens_total", model);
  expect(tokens).toBeGreaterThanOrEqual(4);
  expect(sampleOf(families, "sluice_request_generation_tokens_sum", model)).toBe(tokens);
  expect(sampleOf(families, "sluice_time_to_first_token_seconds_count", model)).toBe(1);
  const later = sampleOf(families, "sluice_inter_token_latency_seconds_count", model);
  expect(later).toBeGreaterThanOrEqual(3);
  expect(later).toBeLessThan(tokens);
  const gaps = sampleOf(families, "sluice_inter_token_latency_seconds_sum", model);
  expect(gaps).toBeGreaterThan(0.05);
  expect(gaps).toBeLessThan(sampleOf(families, "sluice_e2e_request_latency_seconds_sum", model));
  const prompt = sampleOf(families, "sluice_prompt_tokens_total", model);
  expect(sampleOf(families, "sluice_prefix_cache_queries_total", model)).toBe(prompt);
  for (const name of ["queue", "prefill", "decode"]) {
    expect(sampleOf(families, `sluice_request_${name}_time_seconds_count`, model), name).toBe(1);
  }
  expect(sampleOf(families, "sluice_request_success_total", { ...model, finished_reason: "stop" })).toBe(1);
});

test("a request that names no model of the node makes no new label", async () => {
  await node.clients.web.generate(scripted({ text: "x" }, { model: "none-such" }));
  const labels = [...(await scrape()).values()].flatMap(({ samples }) =>
    samples.map(({ labels: one }) => one.model_name),
  );
  expect(new Set(labels)).toEqual(new Set([undefined, "", "scripted"]));
});

test("the node's own process is told of: memory, processor time, start, and how late its loop is", async () => {
  const families = await scrape();
  expect(sampleOf(families, "process_resident_memory_bytes")).toBeGreaterThan(1e6);
  expect(sampleOf(families, "process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(Math.abs(sampleOf(families, "process_start_time_seconds") - Date.now() / 1000)).toBeLessThan(3_600);
  const [p50, p99, max] = ["p50", "p99", "max"].map((one) => sampleOf(families, `nodejs_eventloop_lag_${one}_seconds`));
  expect(p50).toBeLessThanOrEqual(p99 as number);
  expect(p99).toBeLessThanOrEqual((max as number) + 0.001);
});

test("tokens count as they come, not only when their request has ended", async () => {
  const counted: Promise<number>[] = [];
  const count = async (): Promise<number> => sampleOf(await scrape(), "sluice_generation_tokens_total", model);
  const onEvent = ({ event }: { event: { case?: string | undefined } }): void => {
    if (event.case === "delta") counted.push(count());
  };
  await node.clients.native.generate(scripted({ text: "one two three four", chunks: 4, delay_ms: 50 }), { onEvent });
  const during = await Promise.all(counted);
  expect(during[0]).toBeGreaterThan(0);
  expect(during[0]).toBeLessThan(await count());
});
