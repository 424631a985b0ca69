// The node's own metric families.
import { type LoopLag, watchEventLoop } from "./event-loop-lag.ts";
import { type Counter, type GaugeSample, type Histogram, type Labels, MetricRegistry } from "./metrics.ts";
import type { EngineFigures } from "./runtime.ts";

export interface NodeMetrics {
  readonly registry: MetricRegistry;
  /** Requests that were told Admitted. Label: model_name. */
  readonly admitted: Counter;
  /** Requests that ended with an error before Admitted. Labels: model_name, code. */
  readonly refused: Counter;
  /** Requests of any kind that admission refused. Labels: model_name, reason. */
  readonly rejections: Counter;
  /** Requests that ended with Finished. Labels: model_name, finished_reason. */
  readonly succeeded: Counter;
  /** Requests that ended with an error after Admitted, cancelled ones left out. Labels: model_name, code. */
  readonly failed: Counter;
  /** Requests whose caller went away. Label: model_name. */
  readonly cancelled: Counter;
  readonly promptTokens: Counter;
  readonly generationTokens: Counter;
  /** Prompt tokens that were looked up in the prefix cache, and those found. Label: model_name. */
  readonly prefixQueries: Counter;
  readonly prefixHits: Counter;
  /** Tokens that were guessed ahead, and those that turned out right. Label: model_name. */
  readonly draftTokens: Counter;
  readonly acceptedTokens: Counter;
  /** Times that a model answered again after it had been unavailable. Label: model_name. */
  readonly restarts: Counter;
  readonly queueTime: Histogram;
  readonly prefillTime: Histogram;
  readonly decodeTime: Histogram;
  readonly timeToFirstToken: Histogram;
  /** Observed for each token but a generation's first. */
  readonly interToken: Histogram;
  readonly endToEnd: Histogram;
  readonly requestPromptTokens: Histogram;
  readonly requestGenerationTokens: Histogram;
  /** Tokens of one engine step, decodes and prompts together. */
  readonly iterationTokens: Histogram;
  readonly stepTime: Histogram;
  /** Ends what runs in the background. */
  close(): void;
}

export interface NodeGauges {
  running: () => readonly GaugeSample[];
  waiting: () => readonly GaugeSample[];
  /** Ids of the models that are served. */
  models: () => readonly string[];
  /** What a model's engine says of itself; undefined of one that says nothing. */
  figures: (model: string) => EngineFigures | undefined;
}

// vLLM's bounds, with smaller ones where a small model is faster than vLLM's smallest.
const requestSeconds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960,
  1920, 7680,
];
const firstTokenSeconds = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const tokenSeconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const stepTokens = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];
const requestTokens = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
];

/** Makes the node's metrics; `gauges` are read at each scrape. */
export function createNodeMetrics(gauges: NodeGauges): NodeMetrics {
  const registry = new MetricRegistry();
  const loop = watchEventLoop();
  const perModel = (): Labels[] => gauges.models().map((model) => ({ model_name: model }));
  registry.gauge("sluice_num_requests_running", "Requests that hold a slot.", gauges.running);
  registry.gauge("sluice_num_requests_waiting", "Requests that wait for a slot, by queue class.", gauges.waiting);
  addEngineGauges(registry, gauges);
  addProcessMetrics(registry, loop.read);
  const counter = (name: string, help: string): Counter => registry.counter(`sluice_${name}`, help, perModel);
  const byReason = (name: string, help: string): Counter => registry.counter(`sluice_${name}`, help);
  const histogram = (name: string, help: string, bounds: readonly number[]): Histogram =>
    registry.histogram(`sluice_${name}`, help, bounds, perModel);
  return {
    registry,
    admitted: counter("requests_admitted_total", "Requests admitted."),
    refused: byReason("requests_refused_total", "Requests refused before admission, by gRPC code."),
    rejections: byReason("admission_rejections_total", "Requests that admission refused, by reason."),
    succeeded: byReason("request_success_total", "Requests finished, by finish reason."),
    failed: byReason("requests_failed_total", "Admitted requests that failed, by gRPC code."),
    cancelled: counter("requests_cancelled_total", "Requests whose caller went away."),
    promptTokens: counter("prompt_tokens_total", "Prompt tokens, cached ones among them."),
    generationTokens: counter("generation_tokens_total", "Tokens generated."),
    prefixQueries: counter("prefix_cache_queries_total", "Prompt tokens that were looked up in the prefix cache."),
    prefixHits: counter("prefix_cache_hits_total", "Prompt tokens that the prefix cache had."),
    draftTokens: counter("spec_decode_num_draft_tokens_total", "Tokens that speculation guessed."),
    acceptedTokens: counter("spec_decode_num_accepted_tokens_total", "Guessed tokens that turned out right."),
    restarts: counter("runtime_restarts_total", "Times that a model came back."),
    queueTime: histogram("request_queue_time_seconds", "From admission to a slot.", requestSeconds),
    prefillTime: histogram("request_prefill_time_seconds", "From a slot to the first token.", requestSeconds),
    decodeTime: histogram("request_decode_time_seconds", "From the first token to the last.", requestSeconds),
    timeToFirstToken: histogram("time_to_first_token_seconds", "From arrival to the first delta.", firstTokenSeconds),
    interToken: histogram("inter_token_latency_seconds", "Between two tokens of one request.", tokenSeconds),
    endToEnd: histogram("e2e_request_latency_seconds", "From arrival to the end.", requestSeconds),
    requestPromptTokens: histogram("request_prompt_tokens", "Prompt tokens of a request.", requestTokens),
    requestGenerationTokens: histogram("request_generation_tokens", "Tokens generated for a request.", requestTokens),
    iterationTokens: histogram("iteration_tokens_total", "Tokens of one step of the engine.", stepTokens),
    stepTime: histogram("iteration_duration_seconds", "How long one step of the engine decodes.", tokenSeconds),
    close: loop.stop,
  };
}

function addEngineGauges(registry: MetricRegistry, { models, figures }: NodeGauges): void {
  const each = (read: (figures: EngineFigures) => number | undefined) => (): GaugeSample[] =>
    models().flatMap((model) => {
      const found = figures(model);
      const value = found && read(found);
      return value === undefined ? [] : [{ labels: { model_name: model }, value }];
    });
  registry.gauge(
    "sluice_kv_cache_usage_perc",
    "Share of the room for keys and values that running requests fill; 1 is all.",
    each(({ kvTokens, kvTokensMax }) => (kvTokensMax > 0 ? kvTokens / kvTokensMax : 0)),
  );
  registry.gauge(
    "sluice_runtime_resident_memory_bytes",
    "Resident memory of the engine's process.",
    each(({ residentBytes }) => residentBytes),
  );
  registry.gauge(
    "sluice_requests_quarantined",
    "Requests that are refused since the engine died of them twice.",
    each(({ quarantined }) => quarantined),
  );
}

function addProcessMetrics(registry: MetricRegistry, lag: () => LoopLag): void {
  const one = (read: () => number) => (): GaugeSample[] => [{ labels: {}, value: read() }];
  const startedAt = Date.now() / 1_000 - process.uptime();
  registry.gauge(
    "process_resident_memory_bytes",
    "Resident memory of the node's own process.",
    one(() => process.memoryUsage.rss()),
  );
  registry.gauge(
    "process_start_time_seconds",
    "When the node started, in Unix time.",
    one(() => startedAt),
  );
  registry.readCounter(
    "process_cpu_seconds_total",
    "Processor time of the node's own process.",
    one(() => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
  );
  const over = "of the node's event loop over ten seconds.";
  registry.gauge(
    "nodejs_eventloop_lag_p50_seconds",
    `Median delay ${over}`,
    one(() => lag().p50),
  );
  registry.gauge(
    "nodejs_eventloop_lag_p99_seconds",
    `99th percentile of the delay ${over}`,
    one(() => lag().p99),
  );
  registry.gauge(
    "nodejs_eventloop_lag_max_seconds",
    `Longest delay ${over}`,
    one(() => lag().max),
  );
}
