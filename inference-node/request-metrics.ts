// What one generation adds to the node's metrics, and to its span.
import { type Finished, FinishReason, type Usage } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Observer } from "./metrics.ts";
import { Code, codeName, type NodeError } from "./node-error.ts";
import type { NodeMetrics } from "./node-metrics.ts";
import type { GenerationSpan } from "./tracing.ts";

type Timings = Finished["timings"];

/** How a generation went, told when it is over. */
export interface RequestOutcome {
  /** Its model; empty when there is none of that name: the label's values stay few. */
  readonly model: string;
  /** Undefined when it ended with Finished. */
  readonly error: NodeError | undefined;
  readonly reason: FinishReason;
  readonly tokens: Pick<Usage, "promptTokens" | "completionTokens"> & Partial<Usage>;
  readonly timings: Timings;
  readonly durationMs: number;
}

/** Follows one generation. Times are of the node's monotonic clock, in milliseconds. */
export class RequestMetrics {
  readonly #metrics: NodeMetrics;
  readonly #arrivedAt: number;
  readonly #span: GenerationSpan | undefined;
  #queueMs = 0;
  #cachedTokens = 0;
  #labels = { model_name: "" };
  #interToken: Observer | undefined;
  #generated: { add(amount: number): void } | undefined;
  #admitted = false;
  #firstDeltaAt: number | undefined;
  #lastDeltaAt = 0;
  #tokens = 0;

  /** `span` is undefined where nobody traces. */
  constructor(metrics: NodeMetrics, arrivedAt: number, span?: GenerationSpan) {
    this.#metrics = metrics;
    this.#arrivedAt = arrivedAt;
    this.#span = span;
  }

  admitted(model: string): void {
    const labels = { model_name: model };
    this.#labels = labels;
    this.#admitted = true;
    this.#interToken = this.#metrics.interToken.series(labels);
    this.#generated = this.#metrics.generationTokens.series(labels);
    this.#metrics.admitted.add(1, labels);
    this.#span?.event("admitted");
  }

  /** It got a slot, or gave up waiting for one, after so long. */
  leftQueue(queueMs: number): void {
    this.#queueMs = queueMs;
    this.#metrics.queueTime.observe(queueMs / 1_000, this.#labels);
  }

  /** Counts as they are in vLLM: in tokens, of each prompt that was computed or found. */
  prefilled(model: string, promptTokens: number, cachedTokens: number): void {
    const labels = { model_name: model };
    this.#metrics.promptTokens.add(promptTokens, labels);
    this.#metrics.prefixQueries.add(promptTokens, labels);
    this.#metrics.prefixHits.add(cachedTokens, labels);
    this.#cachedTokens = cachedTokens;
    this.#span?.event("prefilled");
  }

  /** Text that came when there were so many tokens in all: each of the new ones took its share of the time. */
  delta(tokens: number, at: number): void {
    const count = tokens - this.#tokens;
    if (this.#firstDeltaAt === undefined) this.#first(at);
    else if (count > 0) this.#interToken?.observe((at - this.#lastDeltaAt) / count / 1_000, count);
    this.#lastDeltaAt = at;
    this.#count(tokens);
  }

  ended(outcome: RequestOutcome): void {
    const { error, model } = outcome;
    const { succeeded, cancelled, failed, refused } = this.#metrics;
    const labels = { model_name: model };
    if (this.#admitted) this.#countAdmitted(labels, outcome);
    const { promptTokens: inputTokens, completionTokens: outputTokens } = outcome.tokens;
    const [queueMs, cachedTokens] = [this.#queueMs, this.#cachedTokens];
    this.#span?.end({ error, reason: outcome.reason, inputTokens, outputTokens, cachedTokens, queueMs });
    if (error === undefined) {
      succeeded.add(1, { ...labels, finished_reason: FinishReason[outcome.reason].toLowerCase() });
    } else if (error.code === Code.CANCELLED) {
      cancelled.add(1, labels);
    } else {
      const family = this.#admitted ? failed : refused;
      family.add(1, { ...labels, code: codeName(error.code) });
    }
  }

  #first(at: number): void {
    this.#firstDeltaAt = at;
    this.#span?.event("first_token");
    this.#metrics.timeToFirstToken.observe((at - this.#arrivedAt) / 1_000, this.#labels);
  }

  #count(tokens: number): void {
    if (tokens <= this.#tokens) return;
    this.#generated?.add(tokens - this.#tokens);
    this.#tokens = tokens;
  }

  #countAdmitted(labels: { model_name: string }, { tokens, timings, durationMs }: RequestOutcome): void {
    const metrics = this.#metrics;
    // Tokens without text, such as the one that ends, came with no delta.
    this.#count(tokens.completionTokens);
    const { acceptedPredictionTokens: accepted = 0, rejectedPredictionTokens: rejected = 0 } = tokens;
    metrics.draftTokens.add(accepted + rejected, labels);
    metrics.acceptedTokens.add(accepted, labels);
    metrics.requestPromptTokens.observe(tokens.promptTokens, labels);
    metrics.requestGenerationTokens.observe(tokens.completionTokens, labels);
    metrics.endToEnd.observe(durationMs / 1_000, labels);
    if (timings?.prefill !== undefined) metrics.prefillTime.observe(seconds(timings.prefill), labels);
    if (timings?.decode !== undefined) metrics.decodeTime.observe(seconds(timings.decode), labels);
  }
}

function seconds({ seconds, nanos }: { seconds: bigint; nanos: number }): number {
  return Number(seconds) + nanos / 1e9;
}
