// The runtime of one embedding model or reranker: a native child of its own, whose contexts all requests' inputs share in turn.
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type EmbedRequest,
  type EmbedResponse,
  EmbedResponseSchema,
  type RerankRequest,
  type RerankResponse,
  RerankResponseSchema,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { Capability, type Model, ModelSchema, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import type { Prompt } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { Clock } from "../clock.ts";
import type { LogEntry } from "../log.ts";
import { Code, NodeError } from "../node-error.ts";
import type { RequestFeature } from "../request-features.ts";
import type { PreparedPrompt, Runtime, RuntimeEvent } from "../runtime.ts";
import { requireTokenRoom } from "../text-room.ts";
import { CrashReports } from "./llama/crash-report.ts";
import { FairTurns } from "./llama/fair-turns.ts";
import type { DeviceOptions, LoadedModel } from "./llama/protocol.ts";
import { type ChildState, Supervisor } from "./llama/supervisor.ts";

/** What is known of the model before it is loaded, or better than by its file. */
export interface EmbeddingModelFacts {
  readonly dimensions?: number | undefined;
  /** Whether it scores documents instead. */
  readonly reranks?: boolean | undefined;
  readonly inputTokensMax?: number | undefined;
  readonly quantization?: string | undefined;
  readonly license?: string | undefined;
  readonly ownedBy?: string | undefined;
}

export interface EmbeddingRuntimeOptions {
  readonly modelId: string;
  readonly facts: EmbeddingModelFacts;
  /** Gives the path of the GGUF; may take minutes while it is fetched. Rejects with a sentence for the operator. */
  readonly locate: (signal: AbortSignal) => Promise<string>;
  readonly threads?: number | undefined;
  /** Most tokens of an input, if the model takes more. */
  readonly inputTokensMax: number;
  readonly device: DeviceOptions;
  /** The child's environment; must hold no secret. */
  readonly childEnv?: Readonly<Record<string, string>> | undefined;
  /** How long the engine may answer nothing while it has work. */
  readonly stepTimeoutMs: number;
  readonly loadTimeoutMs: number;
  /** Resident memory of the child above which it is replaced. */
  readonly childMemoryMaxMb?: number | undefined;
  /** Folder of the reports on children that died; undefined writes none. */
  readonly crashDir?: string | undefined;
  readonly log: (entry: LogEntry) => void;
  readonly clock: Clock;
}

/** Runs one embedding model or reranker. `start` may be called again after it failed. */
export function createEmbeddingRuntime(options: EmbeddingRuntimeOptions): Runtime {
  return new EmbeddingRuntime(options);
}

const childPath = fileURLToPath(new URL("./llama/embedding-child.ts", import.meta.url));
/** Requests that take turns; more of them wait in the queue. */
const requestsAtOnce = 32;

class EmbeddingRuntime implements Runtime {
  readonly kind = "llama";
  /** Of what it counts, since it generates nothing. */
  readonly features: ReadonlySet<RequestFeature> = new Set<RequestFeature>(["prompt.text", "prompt.tokens"]);
  readonly #options: EmbeddingRuntimeOptions;
  readonly #listeners = new Set<() => void>();
  readonly #closed = new AbortController();
  readonly #createdAtMs: number;
  readonly #turns = new FairTurns({ width: () => this.#loaded?.sequences ?? 1 });
  #supervisor: Supervisor | undefined;
  #state: ChildState = "loading";
  #loaded: LoadedModel | undefined;

  constructor(options: EmbeddingRuntimeOptions) {
    this.#options = options;
    this.#createdAtMs = options.clock.now();
  }

  async start(): Promise<void> {
    this.#changeState("loading", undefined);
    try {
      const modelPath = await this.#options.locate(this.#closed.signal);
      this.#closed.signal.throwIfAborted();
      this.#supervisor = this.#supervise(modelPath);
      await this.#supervisor.start();
    } catch (thrown) {
      this.#supervisor = undefined;
      this.#changeState("down", undefined);
      throw thrown;
    }
  }

  models(): readonly Model[] {
    const { modelId, facts, inputTokensMax } = this.#options;
    const loaded = this.#loaded;
    const states = {
      loading: ModelState.LOADING,
      ready: ModelState.READY,
      draining: ModelState.UNAVAILABLE,
      down: ModelState.UNAVAILABLE,
    } as const;
    const contextLength = loaded?.contextLength ?? Math.min(inputTokensMax, facts.inputTokensMax ?? 0);
    return [
      create(ModelSchema, {
        id: modelId,
        state: states[this.#state],
        contextLength,
        capabilities: [this.#reranks ? Capability.RERANK : Capability.EMBEDDINGS],
        quantization: facts.quantization ?? loaded?.quantization ?? "",
        license: facts.license ?? loaded?.license ?? "",
        ownedBy: facts.ownedBy ?? loaded?.organization ?? "",
        createdAt: timestampFromMs(this.#createdAtMs),
        runtime: this.kind,
        sequences: requestsAtOnce,
        embeddingDimensions: this.#reranks ? 0 : (loaded?.embeddingDimensions ?? facts.dimensions ?? 0),
      }),
    ];
  }

  onStateChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResponse> {
    const { inputs, truncate } = request;
    const child = this.#running();
    if (this.#reranks) throw unsupported("This model scores documents; it makes no embeddings.");
    const read = async (index: number): Promise<Uint32Array> => {
      const sent = inputs[index]?.input;
      const content = sent?.case === "tokens" ? sent.value.ids : (sent?.value ?? "");
      const input = { content, truncate, param: `inputs[${index}]` };
      return (await child.call((call) => ({ type: "read_input", call, input }), signal)) as Uint32Array;
    };
    // All are read before any is computed: a list with one input that is too long costs nothing.
    const ids = await this.#turns.run(inputs.length, read, signal);
    const embed = async (index: number): Promise<Float32Array> => {
      const tokens = ids[index] ?? new Uint32Array();
      return (await child.call((call) => ({ type: "embed", call, tokens }), signal)) as Float32Array;
    };
    const vectors = await this.#turns.run(inputs.length, embed, signal);
    return create(EmbedResponseSchema, {
      embeddings: vectors.map((vector) => ({ values: cut(vector, request.dimensions) })),
      promptTokens: ids.reduce((sum, tokens) => sum + tokens.length, 0),
    });
  }

  async rerank(request: RerankRequest, signal: AbortSignal): Promise<RerankResponse> {
    const { query, documents, truncate, topN } = request;
    const child = this.#running();
    if (!this.#reranks) throw unsupported("This model makes embeddings; it scores no documents.");
    const [head] = await this.#turns.run(
      1,
      () => child.call((call) => ({ type: "read_query", call, query }), signal),
      signal,
    );
    const read = async (index: number): Promise<Uint32Array> => {
      const document = { text: documents[index] ?? "", truncate, param: `documents[${index}]` };
      const message = { type: "read_document", head: head as Uint32Array, document } as const;
      return (await child.call((call) => ({ ...message, call }), signal)) as Uint32Array;
    };
    // As with embeddings, all are read before any is computed.
    const ids = await this.#turns.run(documents.length, read, signal);
    const score = async (index: number): Promise<Float32Array> => {
      const tokens = ids[index] ?? new Uint32Array();
      return (await child.call((call) => ({ type: "score", call, tokens }), signal)) as Float32Array;
    };
    const scores = await this.#turns.run(documents.length, score, signal);
    const ranked = scores
      .map(([order = 0, relevanceScore = 0], index) => ({ order, relevanceScore, index }))
      // By what the model gave: far from 0, different scores are the same relevance.
      .sort((a, b) => b.order - a.order || a.index - b.index);
    return create(RerankResponseSchema, {
      results: ranked
        .slice(0, topN || documents.length)
        .map(({ index, relevanceScore }) => ({ index, relevanceScore })),
      promptTokens: ids.reduce((sum, tokens) => sum + tokens.length, 0),
    });
  }

  /** Counts what an input of this text or these ids would cost; a chat is nothing that this model takes. */
  async prepare(_model: string, { form }: Prompt, signal: AbortSignal): Promise<PreparedPrompt> {
    if (form.case !== "text" && form.case !== "tokens") {
      throw new NodeError(Code.FAILED_PRECONDITION, "This model generates nothing; it takes texts and tokens.", {
        param: form.case === "fillInMiddle" ? "prompt.fill_in_middle" : "prompt.chat",
      });
    }
    const content = form.case === "text" ? form.value : form.value.ids;
    const input = { content, truncate: false, param: "prompt" };
    const tokens = await this.#running().call((call) => ({ type: "read_input", call, input }), signal);
    return { promptTokens: tokens.length };
  }

  // biome-ignore lint/correctness/useYield: it never gets as far as its first event.
  async *generate(): AsyncIterable<RuntimeEvent> {
    throw unsupported("This model generates no text.");
  }

  answerNow(): boolean {
    return false;
  }

  async tokenize(_model: string, text: string, specialTokens: boolean, signal?: AbortSignal): Promise<Uint32Array> {
    const child = this.#running();
    return (await child.call((call) => ({ type: "tokenize", call, text, specialTokens }), signal)) as Uint32Array;
  }

  async detokenize(_model: string, tokenIds: readonly number[], specialTokens: boolean): Promise<string> {
    requireTokenRoom(tokenIds.length, this.#loaded?.contextLength ?? 0, "token_ids");
    const tokens = Uint32Array.from(tokenIds);
    return (await this.#running().call((call) => ({ type: "detokenize", call, tokens, specialTokens }))) as string;
  }

  async close(): Promise<void> {
    this.#closed.abort(new NodeError(Code.UNAVAILABLE, "The node is shutting down."));
    await this.#supervisor?.close();
  }

  get #reranks(): boolean {
    return this.#loaded?.reranks ?? (this.#loaded === undefined && this.#options.facts.reranks === true);
  }

  #running(): Supervisor {
    if (this.#supervisor !== undefined && this.#state === "ready") return this.#supervisor;
    throw new NodeError(Code.UNAVAILABLE, "The model is not loaded. Try again shortly.", {
      reason: "MODEL_NOT_READY",
      retryAfterMs: 1_000,
    });
  }

  #supervise(modelPath: string): Supervisor {
    const { threads, inputTokensMax, device, childEnv = {}, modelId, childMemoryMaxMb, crashDir } = this.#options;
    const { stepTimeoutMs, loadTimeoutMs, clock } = this.#options;
    // Which of the children it was.
    const log = (entry: LogEntry): void => this.#options.log({ ...entry, model: modelId });
    return new Supervisor({
      load: { modelPath, threads, inputTokensMax, device },
      childPath,
      clock,
      log,
      childEnv,
      stepTimeoutMs,
      loadTimeoutMs,
      memoryBytesMax: childMemoryMaxMb === undefined ? undefined : childMemoryMaxMb * 1e6,
      reports: new CrashReports({ folder: crashDir, now: () => clock.now(), log }),
      modelId,
      onState: (state, model) => this.#changeState(state, model),
      onEvents: () => undefined,
      onDeath: () => undefined,
    });
  }

  #changeState(state: ChildState, model: LoadedModel | undefined): void {
    this.#state = state;
    if (model !== undefined) this.#loaded = model;
    for (const listener of this.#listeners) listener();
  }
}

function unsupported(message: string): NodeError {
  return new NodeError(Code.UNIMPLEMENTED, message, { param: "model", reason: "UNSUPPORTED" });
}

/** The first so many numbers, of length 1 again; 0 leaves the vector whole. */
function cut(vector: Float32Array, dimensions: number): number[] {
  if (dimensions === 0 || dimensions === vector.length) return [...vector];
  const part = vector.subarray(0, dimensions);
  const norm = Math.hypot(...part) || 1;
  return Array.from(part, (value) => value / norm);
}
