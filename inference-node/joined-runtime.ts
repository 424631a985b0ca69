// Several runtimes as one: each serves its own models, and the death of one leaves the others as they are.
import type {
  EmbedRequest,
  EmbedResponse,
  RerankRequest,
  RerankResponse,
} from "../proto/gen/sluice/inference/v1/embed_pb.js";
import type { Model } from "../proto/gen/sluice/inference/v1/model_pb.js";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { Code, NodeError } from "./node-error.ts";
import type { RequestFeature } from "./request-features.ts";
import type { EngineFigures, PreparedPrompt, Runtime, RuntimeEvent, RuntimeRequest, StepFacts } from "./runtime.ts";

export interface JoinedRuntimeOptions {
  /** Loaded one after the other before the start is over, the default model first; one that can't be fails the start. */
  readonly required: readonly Runtime[];
  /** Loaded after them, and again when that failed: the node serves meanwhile. */
  readonly later: readonly Runtime[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Pauses before a later runtime is tried again; the last one repeats. */
const retryMs = [5_000, 30_000, 120_000, 600_000];

/** Joins runtimes whose models have different ids. */
export class JoinedRuntime implements Runtime {
  readonly kind: string;
  /** What all of them honour; of one model ask `of`. */
  readonly features: ReadonlySet<RequestFeature>;
  readonly #options: JoinedRuntimeOptions;
  readonly #runtimes: readonly Runtime[];
  readonly #closed = new AbortController();

  constructor(options: JoinedRuntimeOptions) {
    this.#options = options;
    this.#runtimes = [...options.required, ...options.later];
    const [first] = this.#runtimes;
    this.kind = first?.kind ?? "";
    const common = [...(first?.features ?? [])].filter((one) =>
      this.#runtimes.every(({ features }) => features.has(one)),
    );
    this.features = new Set(common);
  }

  async start(): Promise<void> {
    for (const runtime of this.#options.required) await runtime.start();
    for (const runtime of this.#options.later) void this.#startLater(runtime);
  }

  models(): readonly Model[] {
    return this.#runtimes.flatMap((runtime) => runtime.models());
  }

  /** The runtime that serves the model. Throws NOT_FOUND for a model that none has. */
  of(model: string): Runtime {
    const found = this.#runtimes.find((runtime) => runtime.models().some(({ id }) => id === model));
    if (found !== undefined) return found.of?.(model) ?? found;
    throw new NodeError(Code.NOT_FOUND, "There is no such model on this node.", {
      param: "model",
      reason: "MODEL_NOT_FOUND",
    });
  }

  onStateChange(listener: () => void): () => void {
    const unsubscribe = this.#runtimes.map((runtime) => runtime.onStateChange(listener));
    return () => {
      for (const stop of unsubscribe) stop();
    };
  }

  figures(model: string): EngineFigures | undefined {
    return this.of(model).figures?.(model);
  }

  onStep(listener: (model: string, step: StepFacts) => void): void {
    for (const runtime of this.#runtimes) runtime.onStep?.(listener);
  }

  async prepare(
    model: string,
    ...rest: Parameters<Runtime["prepare"]> extends [string, ...infer R] ? R : never
  ): Promise<PreparedPrompt> {
    return await this.of(model).prepare(model, ...rest);
  }

  generate(request: RuntimeRequest, signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.of(request.request.model).generate(request, signal);
  }

  answerNow(requestId: string): boolean {
    return this.#runtimes.some((runtime) => runtime.answerNow(requestId));
  }

  async tokenize(model: string, text: string, specialTokens: boolean, signal?: AbortSignal): Promise<Uint32Array> {
    return await this.of(model).tokenize(model, text, specialTokens, signal);
  }

  async detokenize(model: string, tokenIds: readonly number[], specialTokens: boolean): Promise<string> {
    return await this.of(model).detokenize(model, tokenIds, specialTokens);
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResponse> {
    return await this.of(request.model).embed(request, signal);
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<RerankResponse> {
    const found = this.of(request.model);
    if (found.rerank !== undefined) return await found.rerank(request, signal);
    throw new NodeError(Code.UNIMPLEMENTED, "This model scores no documents.", {
      param: "model",
      reason: "UNSUPPORTED",
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all(this.#runtimes.map((runtime) => runtime.close()));
  }

  async #startLater(runtime: Runtime): Promise<void> {
    const { clock, log } = this.#options;
    let said: string | undefined;
    for (let attempt = 0; !this.#closed.signal.aborted; attempt++) {
      try {
        return await runtime.start();
      } catch (thrown) {
        if (this.#closed.signal.aborted) return;
        const message = thrown instanceof Error ? thrown.message : String(thrown);
        // The same failure again is no news.
        if (message !== said) log({ level: "warn", event: "model.unavailable", models: idsOf(runtime), message });
        said = message;
      }
      const pauseMs = retryMs[Math.min(attempt, retryMs.length - 1)] ?? 0;
      await clock.sleep(pauseMs, this.#closed.signal).catch(() => undefined);
    }
  }
}

function idsOf(runtime: Runtime): string[] {
  return runtime.models().map(({ id }) => id);
}
