// The node's own metric families.
import { type Counter, type GaugeSample, type Histogram, MetricRegistry } from "./metrics.ts";

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
  /** Times that a model answered again after it had been unavailable. Label: model_name. */
  readonly restarts: Counter;
  readonly queueTime: Histogram;
  readonly timeToFirstToken: Histogram;
  readonly endToEnd: Histogram;
}

export interface NodeGauges {
  running: () => readonly GaugeSample[];
  waiting: () => readonly GaugeSample[];
}

/** Makes the node's metrics; `gauges` are read at each scrape. */
export function createNodeMetrics(gauges: NodeGauges): NodeMetrics {
  const registry = new MetricRegistry();
  registry.gauge("sluice_num_requests_running", "Requests that hold a slot.", gauges.running);
  registry.gauge("sluice_num_requests_waiting", "Requests that wait for a slot, by queue class.", gauges.waiting);
  registry.gauge("process_resident_memory_bytes", "Resident memory of the node's own process.", () => [
    { labels: {}, value: process.memoryUsage.rss() },
  ]);
  return {
    registry,
    admitted: registry.counter("sluice_requests_admitted_total", "Requests admitted."),
    refused: registry.counter("sluice_requests_refused_total", "Requests refused before admission, by gRPC code."),
    rejections: registry.counter("sluice_admission_rejections_total", "Requests that admission refused, by reason."),
    succeeded: registry.counter("sluice_request_success_total", "Requests finished, by finish reason."),
    failed: registry.counter("sluice_requests_failed_total", "Admitted requests that failed, by gRPC code."),
    cancelled: registry.counter("sluice_requests_cancelled_total", "Requests whose caller went away."),
    promptTokens: registry.counter("sluice_prompt_tokens_total", "Prompt tokens prefilled."),
    generationTokens: registry.counter("sluice_generation_tokens_total", "Tokens generated."),
    restarts: registry.counter("sluice_runtime_restarts_total", "Times that a model came back."),
    queueTime: registry.histogram("sluice_request_queue_time_seconds", "From admission to a slot."),
    timeToFirstToken: registry.histogram("sluice_time_to_first_token_seconds", "From arrival to the first delta."),
    endToEnd: registry.histogram("sluice_e2e_request_latency_seconds", "From arrival to the end."),
  };
}
