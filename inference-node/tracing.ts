// One span a generation, by OpenTelemetry's conventions for generative AI; it continues the caller's trace.
import { randomBytes } from "node:crypto";
import { FinishReason, type GenerateRequest } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Call } from "./call.ts";
import type { Clock } from "./clock.ts";
import { codeName, type NodeError } from "./node-error.ts";
import type { Attributes, FinishedSpan } from "./tracing-otlp.ts";

export interface TracerOptions {
  readonly clock: Clock;
  readonly send: (span: FinishedSpan) => void;
}

/** How a generation ended, as its span tells it. */
export interface SpanEnd {
  readonly error: NodeError | undefined;
  readonly reason: FinishReason;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens: number;
  readonly queueMs: number;
}

/** The span of one generation. */
export interface GenerationSpan {
  event(name: "admitted" | "prefilled" | "first_token"): void;
  end(end: SpanEnd): void;
}

/** Makes spans, for those calls whose caller wants to see them. */
export class Tracer {
  readonly #options: TracerOptions;

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** Undefined when the caller's trace is not sampled. */
  start(request: GenerateRequest, call: Call): GenerationSpan | undefined {
    const parent = parseTraceparent(call.traceparent);
    if (parent?.sampled === false) return undefined;
    const { clock, send } = this.#options;
    const [startedAt, began] = [clock.now(), clock.monotonic()];
    const now = (): bigint => nanosOf(startedAt + clock.monotonic() - began);
    const startNanos = now();
    const events: { name: string; nanos: bigint }[] = [];
    const operation = request.prompt?.form.case === "chat" ? "chat" : "text_completion";
    return {
      event: (name) => events.push({ name, nanos: now() }),
      end: (end) =>
        send({
          traceId: parent?.traceId ?? hex(16),
          spanId: hex(8),
          parentSpanId: parent?.spanId,
          name: `${operation} ${request.model}`,
          startNanos,
          endNanos: now(),
          attributes: { ...requestAttributes(request, operation), ...endAttributes(end) },
          events,
          error: end.error?.message,
        }),
    };
  }
}

/** Parameters only: nothing that a user wrote. */
function requestAttributes(
  { requestId, model, sampling, stopping, choiceCount }: GenerateRequest,
  operation: string,
): Attributes {
  return {
    "gen_ai.operation.name": operation,
    "gen_ai.provider.name": "sluice",
    "gen_ai.request.model": model,
    "gen_ai.response.model": model,
    "gen_ai.response.id": requestId,
    "gen_ai.request.max_tokens": stopping?.maxTokens,
    "gen_ai.request.temperature": sampling?.temperature,
    "gen_ai.request.top_p": sampling?.topP,
    "gen_ai.request.top_k": sampling?.topK,
    "gen_ai.request.frequency_penalty": sampling?.frequencyPenalty,
    "gen_ai.request.presence_penalty": sampling?.presencePenalty,
    "gen_ai.request.choice.count": choiceCount > 1 ? choiceCount : undefined,
    "sluice.request_id": requestId,
  };
}

function endAttributes({ error, reason, inputTokens, outputTokens, cachedTokens, queueMs }: SpanEnd): Attributes {
  const finished = reason === FinishReason.UNSPECIFIED ? undefined : [FinishReason[reason].toLowerCase()];
  return {
    "gen_ai.usage.input_tokens": inputTokens,
    "gen_ai.usage.output_tokens": outputTokens,
    "gen_ai.response.finish_reasons": finished,
    "error.type": error && codeName(error.code),
    "sluice.cached_tokens": cachedTokens,
    "sluice.queue_ms": Math.round(queueMs),
  };
}

/** W3C Trace Context, level 2; undefined for what is none, which then begins a trace of its own. */
export function parseTraceparent(
  text: string | undefined,
): { traceId: string; spanId: string; sampled: boolean } | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text?.trim() ?? "");
  const [, version, traceId = "", spanId = "", flags = "", more] = match ?? [];
  if (match === null || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

function hex(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

function nanosOf(ms: number): bigint {
  return BigInt(Math.round(ms * 1_000)) * 1_000n;
}
