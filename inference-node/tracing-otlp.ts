// Sends finished spans to a collector, as OTLP over HTTP in JSON: in batches, from a bounded queue, and never in the way.
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { TracingConfig } from "./tracing-config.ts";

/** An attribute's value; an array holds texts. */
export type AttributeValue = string | number | boolean | readonly string[];
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

/** A span as it is sent: ids in hex, times in nanoseconds of the Unix epoch. */
export interface FinishedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Attributes;
  readonly events: readonly { readonly name: string; readonly nanos: bigint }[];
  /** Undefined when it ended well. */
  readonly error: string | undefined;
}

export interface OtlpExporterOptions extends TracingConfig {
  readonly clock: Clock;
  readonly log: Log;
  readonly nodeId: string;
}

/** Characters of an attribute: ids and names are the caller's. */
const textMax = 256;
const queueMax = 2_048;
const batchMax = 512;
/** Spans gather so long before they are sent. */
const gatherMs = 1_000;
const requestTimeoutMs = 10_000;
/** Pauses before a batch is tried again. */
const retryPausesMs = [1_000, 4_000];
/** Drops are told of no more often than this. */
const tellEveryMs = 60_000;

export class OtlpExporter {
  readonly #options: OtlpExporterOptions;
  readonly #closed = new AbortController();
  #queue: FinishedSpan[] = [];
  #sending: Promise<void> | undefined;
  #dropped = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(options: OtlpExporterOptions) {
    this.#options = options;
  }

  /** Queues a span; one that finds the queue full is dropped. */
  add(span: FinishedSpan): void {
    if (this.#closed.signal.aborted) return;
    if (this.#queue.length >= queueMax) {
      this.#drop(1, "the queue is full");
      return;
    }
    this.#queue.push(span);
    this.#sending ??= this.#run();
  }

  /** Sends what is left, for at most so long. */
  async close(graceMs: number): Promise<void> {
    this.#closed.abort();
    const left = (this.#sending ?? Promise.resolve()).then(() => this.#sendAll());
    await Promise.race([left, this.#options.clock.sleep(graceMs)]);
  }

  async #run(): Promise<void> {
    await this.#options.clock.sleep(gatherMs, this.#closed.signal).catch(() => undefined);
    await this.#sendAll();
    this.#sending = undefined;
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, batchMax);
      this.#queue = this.#queue.slice(batchMax);
      await this.#send(batch);
    }
  }

  async #send(batch: readonly FinishedSpan[]): Promise<void> {
    const { url, headers, clock, resource, nodeId } = this.#options;
    const body = JSON.stringify(
      requestBody(batch, { "service.name": "sluice-node", "service.instance.id": nodeId, ...resource }),
    );
    for (let tries = 0; ; tries++) {
      const failure = await post(url, headers, body);
      if (failure === undefined) return;
      const pauseMs = retryPausesMs[tries];
      if (!failure.retry || pauseMs === undefined || this.#closed.signal.aborted) {
        this.#drop(batch.length, failure.reason);
        return;
      }
      await clock.sleep(pauseMs, this.#closed.signal).catch(() => undefined);
    }
  }

  #drop(count: number, reason: string): void {
    this.#dropped += count;
    const { clock, log } = this.#options;
    if (clock.monotonic() - this.#toldAt < tellEveryMs) return;
    this.#toldAt = clock.monotonic();
    log({ level: "warn", event: "trace.dropped", spans: this.#dropped, message: reason });
    this.#dropped = 0;
  }
}

/** Undefined when the collector took it. */
async function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<{ reason: string; retry: boolean } | undefined> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body,
      redirect: "manual",
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    await response.body?.cancel();
    if (response.ok) return undefined;
    // What OTLP/HTTP names as worth another try.
    return {
      reason: `the collector answered ${response.status}`,
      retry: [429, 502, 503, 504].includes(response.status),
    };
  } catch (thrown) {
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    return {
      reason: `the collector can't be reached: ${cause instanceof Error ? cause.message : String(cause)}`,
      retry: true,
    };
  }
}

function requestBody(spans: readonly FinishedSpan[], resource: Attributes): object {
  const scopeSpans = [{ scope: { name: "sluice.inference-node" }, spans: spans.map(spanJson) }];
  return { resourceSpans: [{ resource: { attributes: attributesJson(resource) }, scopeSpans }] };
}

/** Kinds and codes are the numbers of the protocol: 2 is a server's span, and an error. */
function spanJson(span: FinishedSpan): object {
  const { traceId, spanId, parentSpanId, name, startNanos, endNanos, attributes, events, error } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    name,
    kind: 2,
    startTimeUnixNano: String(startNanos),
    endTimeUnixNano: String(endNanos),
    attributes: attributesJson(attributes),
    events: events.map((event) => ({ name: event.name, timeUnixNano: String(event.nanos) })),
    status: error === undefined ? {} : { code: 2, message: error },
  };
}

function attributesJson(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: valueJson(value) }],
  );
}

function valueJson(value: AttributeValue): object {
  if (typeof value === "string") return { stringValue: value.slice(0, textMax) };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value !== "number") return { arrayValue: { values: value.map((one) => ({ stringValue: one })) } };
  // 64-bit numbers are texts in protobuf's JSON.
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
