// The one generation path: from a request of the contract to its events, with one signal that ends it everywhere.
import type { GenerateEvent, GenerateRequest } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { FinishReason } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { AccessRecord } from "./access-log.ts";
import type { Clock } from "./clock.ts";
import { ApiError } from "./errors.ts";
import type { NodePool } from "./node-pool.ts";

/** The node is given the deadline and this much time to say so itself, with its better words. */
const DEADLINE_GRACE_MS = 1000;

export interface GenerationOptions {
  nodes: NodePool;
  clock: Clock;
  access: AccessRecord;
  /** Deadline of the whole, from now. */
  timeoutMs: number;
  /** Aborts when the client hangs up. */
  clientSignal: AbortSignal;
  /** As the client sent it; handed on only if it is one. */
  traceparent: string | undefined;
  /** The client's name for a field of the contract. */
  paramOf: (contractPath: string) => string | undefined;
}

/** A generation that the node has admitted: it won't be refused any more. */
export class Generation {
  readonly #events: AsyncGenerator<GenerateEvent[], void, undefined>;
  readonly #access: AccessRecord;
  readonly #abort: AbortController;
  readonly #release: () => void;
  readonly #paramOf: GenerationOptions["paramOf"];
  #first: GenerateEvent[];
  #finished = false;

  /**
   * Asks a node to generate; resolves when it has admitted the request, so that a refusal keeps its HTTP status.
   *
   * @throws ApiError the refusal.
   */
  static async start(request: GenerateRequest, options: GenerationOptions): Promise<Generation> {
    const abort = new AbortController();
    const hangUp = (): void => abort.abort(new ApiError("canceled"));
    if (options.clientSignal.aborted) throw new ApiError("canceled");
    options.clientSignal.addEventListener("abort", hangUp, { once: true });
    const cancelDeadline = options.clock.after(options.timeoutMs + DEADLINE_GRACE_MS, () =>
      abort.abort(new ApiError("deadline_exceeded", undefined, { detail: "edge: deadline" })),
    );
    const release = (): void => {
      cancelDeadline();
      options.clientSignal.removeEventListener("abort", hangUp);
    };
    const events = options.nodes.generate(request, {
      signal: abort.signal,
      timeoutMs: options.timeoutMs,
      traceparent: isTraceparent(options.traceparent) ? options.traceparent : undefined,
    });
    const generation = new Generation(events, options, abort, release);
    const first = await generation.#pull();
    if (first === undefined) throw new ApiError("overloaded", undefined, { detail: "edge: no Admitted" });
    generation.#first = first;
    return generation;
  }

  private constructor(
    events: AsyncGenerator<GenerateEvent[], void, undefined>,
    options: GenerationOptions,
    abort: AbortController,
    release: () => void,
  ) {
    this.#events = events;
    this.#access = options.access;
    this.#abort = abort;
    this.#release = release;
    this.#paramOf = options.paramOf;
    this.#first = [];
  }

  /**
   * The next events, those that came together in one array; undefined after Finished.
   *
   * @throws ApiError when the generation failed, `canceled` when it was aborted.
   */
  async next(): Promise<GenerateEvent[] | undefined> {
    const first = this.#first;
    if (first.length > 0) {
      this.#first = [];
      return first;
    }
    return this.#pull();
  }

  /** Ends the generation now; the node frees the slot within one token. */
  cancel(): void {
    this.#abort.abort(new ApiError("canceled"));
    this.#release();
  }

  async #pull(): Promise<GenerateEvent[] | undefined> {
    try {
      const { done, value } = await this.#events.next();
      if (done) {
        // A node may take an abort for a normal end.
        if (!this.#finished) this.#abort.signal.throwIfAborted();
        if (!this.#finished) throw new ApiError("overloaded", undefined, { detail: "node: ended without Finished" });
        this.#release();
        return undefined;
      }
      for (const event of value) this.#note(event);
      return value;
    } catch (thrown) {
      this.#release();
      // The answer is whole and accounted for, and its reader may have been told so: what breaks now changes nothing.
      if (this.#finished) return undefined;
      throw inClientsWords(ApiError.from(thrown), this.#paramOf);
    }
  }

  /** What the access log wants to know. */
  #note({ event }: GenerateEvent): void {
    const { facts } = this.#access;
    switch (event.case) {
      case "admitted":
        facts.queuePosition = event.value.queuePosition;
        break;
      case "prefilled":
        facts.promptTokens = event.value.promptTokens;
        facts.cachedTokens = event.value.cachedTokens;
        break;
      case "delta":
        facts.ttftMs ??= this.#access.elapsedMs();
        facts.completionTokens = event.value.completionTokens;
        break;
      case "finished": {
        const { usage, reason } = event.value;
        this.#finished = true;
        facts.finishReason = FinishReason[reason].toLowerCase();
        facts.promptTokens = usage?.promptTokens ?? facts.promptTokens ?? 0;
        facts.cachedTokens = usage?.cachedTokens ?? facts.cachedTokens ?? 0;
        facts.completionTokens = usage?.completionTokens ?? facts.completionTokens ?? 0;
        facts.reasoningTokens = usage?.reasoningTokens ?? 0;
        break;
      }
    }
  }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header: anything else is no trace, and would be logged on the node. */
function isTraceparent(text: string | undefined): boolean {
  return text !== undefined && /^(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(text);
}

/** The node blames fields of the contract; the client knows them by other names. */
export function inClientsWords(error: ApiError, paramOf: GenerationOptions["paramOf"]): ApiError {
  const { code, detail, retryAfterMs, cause } = error;
  const path = error.param;
  if (path === undefined) return error;
  const param = paramOf(path);
  // `prompt` and `model` are English words too.
  const isName = path !== "prompt" && path !== "model";
  const message = (isName && param !== undefined ? error.message.replaceAll(path, param) : error.message).replace(
    /\b[a-z_]+(?:\.[a-z_]+)+\b/g,
    (name) => paramOf(name) ?? name,
  );
  return new ApiError(code, message, { param, detail, retryAfterMs, cause });
}
