// One generation through the node: check, tokenise, admit, wait, run, and account for it exactly once.
import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  AdmittedSchema,
  type Delta,
  type Finished,
  FinishedSchema,
  FinishReason,
  type GenerateEvent,
  type GenerateRequest,
  Priority,
  TimingsSchema,
  type Usage,
} from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Model } from "../proto/gen/sluice/inference/v1/model_pb.js";
import type { Permit } from "./admission.ts";
import { abortError, type Call, unlessAborted, type WriteEvent } from "./call.ts";
import type { Clock } from "./clock.ts";
import { Coalescer } from "./coalesce.ts";
import { type Journal, type RunningGeneration, usageSoFar } from "./journal.ts";
import type { Log } from "./log.ts";
import { Code, codeName, NodeError } from "./node-error.ts";
import type { NodeMetrics } from "./node-metrics.ts";
import type { NodeModels } from "./node-models.ts";
import { outputLimit, requireGenerates, requireSupported, requireTokenIds } from "./request-checks.ts";
import { RequestMetrics } from "./request-metrics.ts";
import type { PreparedPrompt, Runtime, RuntimeRequest } from "./runtime.ts";
import type { Tracer } from "./tracing.ts";
import { streamIntervalMs, type ValidRequest, validateGenerate } from "./validate.ts";

/** What a generation needs of the node. */
export interface GenerateDeps {
  runtime: Runtime;
  models: NodeModels;
  journal: Journal;
  metrics: NodeMetrics;
  /** Undefined where nobody traces. */
  tracer?: Tracer | undefined;
  clock: Clock;
  log: Log;
}

/** The abort reason of Control's cancel: the stream then ends with Finished instead of an error. */
export const cancelledByControl = new NodeError(Code.CANCELLED, "Cancelled by Control.", { reason: "CONTROL_CANCEL" });

/** Runs a generation and writes its events. Rejects with a NodeError; by then the slot is free again. */
export async function generate(
  deps: GenerateDeps,
  request: GenerateRequest,
  call: Call,
  write: WriteEvent,
): Promise<void> {
  const generation = new Generation(deps, request, call, write);
  try {
    await generation.run();
    generation.end(undefined);
  } catch (thrown) {
    const error = NodeError.from(thrown);
    generation.end(error);
    throw error;
  }
}

class Generation {
  readonly #deps: GenerateDeps;
  readonly #request: GenerateRequest;
  readonly #call: Call;
  readonly #write: WriteEvent;
  readonly #controller = new AbortController();
  readonly #arrivedAt: number;
  readonly #running: RunningGeneration;
  #sequence = 0n;
  #opened = false;
  #admitted = false;
  #queueMs = 0;
  #reason: FinishReason = FinishReason.UNSPECIFIED;
  #usage: Usage | undefined;
  #timings: Finished["timings"];
  readonly #metrics: RequestMetrics;

  constructor(deps: GenerateDeps, request: GenerateRequest, call: Call, write: WriteEvent) {
    this.#deps = deps;
    this.#request = request;
    this.#call = call;
    this.#write = write;
    this.#arrivedAt = deps.clock.monotonic();
    this.#metrics = new RequestMetrics(deps.metrics, this.#arrivedAt, deps.tracer?.start(request, call));
    this.#running = {
      requestId: request.requestId,
      tenant: request.tenant,
      model: request.model,
      startedAt: deps.clock.now(),
      promptTokens: 0,
      cachedTokens: 0,
      completionTokens: 0,
      abort: (reason) => this.#controller.abort(reason),
    };
  }

  async run(): Promise<void> {
    const { models, journal, clock } = this.#deps;
    const onAbort = (): void => this.#controller.abort(abortError(this.#call, clock));
    if (this.#call.signal.aborted) onAbort();
    else this.#call.signal.addEventListener("abort", onAbort, { once: true });
    try {
      const request = this.#request;
      validateGenerate(request);
      const model = models.find(request.model);
      requireGenerates(model);
      requireSupported(request, model, this.#runtime.features);
      journal.open(this.#running);
      this.#opened = true;
      await models.restarted(model, this.#signal);
      this.#signal.throwIfAborted();
      await this.#admitAndRun(request, models.find(model.id)); // As it is now, not as it was before the hold.
    } catch (thrown) {
      // What an abort makes the layers below throw is of no interest: the reason of the abort is the answer.
      if (!this.#signal.aborted) throw thrown;
      if (this.#signal.reason !== cancelledByControl || !this.#admitted) throw this.#signal.reason;
      await this.#finish(create(FinishedSchema, { reason: FinishReason.CANCELLED, usage: usageSoFar(this.#running) }));
    } finally {
      this.#call.signal.removeEventListener("abort", onAbort);
    }
  }

  /** Writes the account; called once, when all is over. */
  end(error: NodeError | undefined): void {
    const { journal, clock, log } = this.#deps;
    const code = error?.code ?? 0;
    if (this.#opened) {
      journal.close(this.#running, { reason: this.#reason, usage: this.#usage, code, endedAt: clock.now() });
    }
    const durationMs = clock.monotonic() - this.#arrivedAt;
    const tokens = this.#usage ?? this.#running;
    this.#metrics.ended({
      model: this.#opened ? this.#request.model : "",
      error,
      reason: this.#reason,
      tokens,
      timings: this.#timings,
      durationMs,
    });
    log({
      level: error?.code === Code.INTERNAL ? "error" : "info",
      event: "generate.end",
      request_id: this.#request.requestId,
      model: this.#request.model,
      tenant: this.#request.tenant,
      code: error ? codeName(error.code) : "OK",
      finish_reason: FinishReason[this.#reason],
      prompt_tokens: tokens.promptTokens,
      completion_tokens: tokens.completionTokens,
      queue_ms: Math.round(this.#queueMs),
      duration_ms: Math.round(durationMs),
      traceparent: this.#call.traceparent,
      ...(error && { error: error.message, cause: error.cause }),
    });
  }

  get #runtime(): Runtime {
    const { runtime } = this.#deps;
    return runtime.of?.(this.#request.model) ?? runtime;
  }

  get #signal(): AbortSignal {
    return this.#controller.signal;
  }

  async #admitAndRun(request: ValidRequest, model: Model): Promise<void> {
    const { models, clock } = this.#deps;
    const priority = request.priority === Priority.BATCH ? "batch" : "interactive";
    const reservation = models.admission(model).reserve({ tenant: request.tenant, priority });
    let permit: Permit | undefined;
    try {
      const prepared = await this.#prepare(request, model);
      this.#running.promptTokens = prepared.promptTokens;
      requireTokenIds(request, prepared.vocabularySize);
      const maxTokens = outputLimit(request, model, prepared);
      this.#runtime.check?.({ request, prepared, maxTokens });
      permit = reservation.admit({
        tokens: prepared.promptTokens,
        sequences: Math.max(1, request.choiceCount, request.bestOf),
        signal: this.#signal,
        deadlineAt: this.#call.deadlineAt,
      });
      // An engine that may still refuse a request which runs at once is given the time to say so.
      const late = this.#runtime.acceptsLate === true && permit.position === 0;
      if (!late) await this.#announce(permit, model);
      const queuedAt = clock.monotonic();
      await permit.granted.finally(() => {
        this.#queueMs = clock.monotonic() - queuedAt;
        this.#metrics.leftQueue(this.#queueMs);
      });
      const running: Permit = permit;
      const onAccepted = (): void => {
        if (!this.#admitted) void this.#announce(running, model)?.catch(() => undefined);
      };
      await this.#decode({ request: request, prepared, maxTokens, onAccepted }, permit);
    } finally {
      reservation.leave();
      permit?.release();
    }
  }

  /** A killed engine takes a while to be seen dead: a request that meets it then is held as those that come after. */
  async #prepare({ prompt, thinking }: ValidRequest, model: Model): Promise<PreparedPrompt> {
    const { models } = this.#deps;
    const prepare = (): Promise<PreparedPrompt> =>
      unlessAborted(this.#runtime.prepare(model.id, prompt, this.#signal, thinking), this.#signal);
    try {
      return await prepare();
    } catch (thrown) {
      if (!(thrown instanceof NodeError) || thrown.code !== Code.UNAVAILABLE) throw thrown;
      await models.restarted(model, this.#signal);
      return await prepare();
    }
  }

  #announce(permit: Permit, model: Model): Promise<void> | undefined {
    this.#admitted = true;
    this.#metrics.admitted(model.id);
    return this.#emit({ case: "admitted", value: create(AdmittedSchema, { queuePosition: permit.position }) });
  }

  async #decode(runtimeRequest: RuntimeRequest, permit: Permit): Promise<void> {
    const { clock } = this.#deps;
    const interval = streamIntervalMs(this.#request);
    const emit = (value: Delta): Promise<void> | undefined => this.#emit({ case: "delta", value });
    const coalescer = interval === undefined ? undefined : new Coalescer({ intervalMs: interval, clock, emit });
    try {
      for await (const event of this.#runtime.generate(runtimeRequest, this.#signal)) {
        this.#signal.throwIfAborted();
        if (event.case === "delta") {
          this.#metrics.delta(event.value.completionTokens, clock.monotonic());
          this.#running.completionTokens = event.value.completionTokens;
          permit.served(event.value.completionTokens);
          const wait = coalescer ? coalescer.push(event.value) : emit(event.value);
          if (wait) await wait;
        } else if (event.case === "prefilled") {
          this.#running.promptTokens = event.value.promptTokens;
          this.#running.cachedTokens = event.value.cachedTokens;
          permit.reused(event.value.cachedTokens);
          this.#metrics.prefilled(this.#request.model, event.value.promptTokens, event.value.cachedTokens);
          await this.#emit(event);
        } else {
          await coalescer?.finish();
          permit.served(event.value.usage?.completionTokens ?? 0);
          permit.release(); // The slot is free now, however slowly the caller reads the end.
          return await this.#finish(event.value);
        }
      }
    } finally {
      coalescer?.stop();
    }
    this.#signal.throwIfAborted();
    throw new NodeError(Code.INTERNAL, "The model's engine ended without a result.");
  }

  async #finish(finished: Finished): Promise<void> {
    this.#reason = finished.reason;
    this.#usage = finished.usage;
    this.#timings = finished.timings;
    finished.timings ??= create(TimingsSchema);
    finished.timings.queue = milliseconds(this.#queueMs);
    await this.#write(this.#event({ case: "finished", value: finished }));
  }

  #emit(event: GenerateEvent["event"]): Promise<void> | undefined {
    const wait = this.#write(this.#event(event));
    return wait && unlessAborted(wait, this.#signal);
  }

  // A literal instead of create(): this runs for each token of each stream.
  #event(event: GenerateEvent["event"]): GenerateEvent {
    this.#sequence += 1n;
    return { $typeName: "sluice.inference.v1.GenerateEvent", sequence: this.#sequence, event };
  }
}

function milliseconds(ms: number): Duration {
  return durationFromMs(Math.max(0, Math.round(ms)));
}
