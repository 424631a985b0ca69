// What a node does, as figures, out of one or two readings of its metrics.
import { quantileOf, rise, type Scrape, sumOf } from "../exposition.ts";

/** Times in seconds, rates a second, shares from 0 to 1; null for what is not known. */
export interface ModelFigures {
  readonly model: string;
  readonly running: number;
  readonly waiting: number;
  readonly requests_per_second: number | null;
  readonly prompt_tokens_per_second: number | null;
  readonly generation_tokens_per_second: number | null;
  readonly ttft_p50: number | null;
  readonly ttft_p99: number | null;
  readonly itl_p50: number | null;
  readonly itl_p99: number | null;
  readonly queue_p99: number | null;
  readonly kv_cache_usage: number | null;
  readonly prefix_hit_rate: number | null;
  /** Tokens generated, and what follows, since the node's start. */
  readonly generated: number;
  readonly rejected: number;
  readonly failed: number;
  readonly restarts: number;
  readonly quarantined: number | null;
  readonly engine_memory_bytes: number | null;
}

export interface NodeFigures {
  readonly uptime_seconds: number | null;
  readonly memory_bytes: number | null;
  /** Processors in use: 1 is one whole one. */
  readonly cpu: number | null;
  readonly event_loop_lag_p99: number | null;
  readonly models: readonly ModelFigures[];
}

export interface Reading {
  readonly scrape: Scrape;
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number;
}

/** What `after` says; rates and shares are of the time since `before`, quantiles too unless `sinceStart`. */
export function figuresOf(after: Reading, before: Reading | undefined, sinceStart: boolean): NodeFigures {
  const { scrape } = after;
  const seconds = before === undefined ? 0 : (after.atMs - before.atMs) / 1_000;
  const started = sumOf(scrape, "process_start_time_seconds");
  const names = (scrape.get("sluice_num_requests_running") ?? []).map(({ labels }) => labels.model_name ?? "");
  return {
    uptime_seconds: started === undefined ? null : Math.max(0, after.atMs / 1_000 - started),
    memory_bytes: sumOf(scrape, "process_resident_memory_bytes") ?? null,
    cpu: rateOf("process_cpu_seconds_total", undefined, after, before, seconds),
    event_loop_lag_p99: sumOf(scrape, "nodejs_eventloop_lag_p99_seconds") ?? null,
    models: names.map((model) => modelFigures(model, after, before, seconds, sinceStart)),
  };
}

function modelFigures(
  model: string,
  after: Reading,
  before: Reading | undefined,
  seconds: number,
  sinceStart: boolean,
): ModelFigures {
  const { scrape } = after;
  const earlier = sinceStart ? undefined : before?.scrape;
  const now = (name: string): number | undefined => sumOf(scrape, `sluice_${name}`, model);
  const rate = (name: string): number | null => rateOf(`sluice_${name}`, model, after, before, seconds);
  const quantile = (q: number, name: string): number | null =>
    quantileOf(q, `sluice_${name}`, model, scrape, earlier) ?? null;
  const risen = (name: string): number => rise(earlier && sumOf(earlier, `sluice_${name}`, model), now(name));
  const asked = risen("prefix_cache_queries_total");
  return {
    model,
    running: now("num_requests_running") ?? 0,
    waiting: now("num_requests_waiting") ?? 0,
    requests_per_second: rate("request_success_total"),
    prompt_tokens_per_second: rate("prompt_tokens_total"),
    generation_tokens_per_second: rate("generation_tokens_total"),
    ttft_p50: quantile(0.5, "time_to_first_token_seconds"),
    ttft_p99: quantile(0.99, "time_to_first_token_seconds"),
    itl_p50: quantile(0.5, "inter_token_latency_seconds"),
    itl_p99: quantile(0.99, "inter_token_latency_seconds"),
    queue_p99: quantile(0.99, "request_queue_time_seconds"),
    kv_cache_usage: now("kv_cache_usage_perc") ?? null,
    prefix_hit_rate: asked === 0 ? null : risen("prefix_cache_hits_total") / asked,
    generated: now("generation_tokens_total") ?? 0,
    rejected: now("admission_rejections_total") ?? 0,
    failed: now("requests_failed_total") ?? 0,
    restarts: now("runtime_restarts_total") ?? 0,
    quarantined: now("requests_quarantined") ?? null,
    engine_memory_bytes: now("runtime_resident_memory_bytes") ?? null,
  };
}

function rateOf(
  name: string,
  model: string | undefined,
  after: Reading,
  before: Reading | undefined,
  seconds: number,
): number | null {
  if (before === undefined || seconds <= 0) return null;
  return rise(sumOf(before.scrape, name, model), sumOf(after.scrape, name, model)) / seconds;
}
