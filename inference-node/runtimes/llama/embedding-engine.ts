// Loads an embedding model or a reranker into llama.cpp and computes vectors or scores, several at once on contexts of their own.
import { availableParallelism } from "node:os";
import { type Llama, LlamaLogLevel, type LlamaModel } from "node-llama-cpp";
import { systemClock } from "../../clock.ts";
import { loadFailure, openEngine } from "./device.ts";
import { type EmbeddingAddonContext, reachEmbeddingContext, reachEmbeddingModel } from "./embedding-addon.ts";
import type { EmbeddingLoadOptions } from "./embedding-protocol.ts";
import { EmbeddingTokenizer } from "./embedding-tokenizer.ts";
import type { NativeLog } from "./engine.ts";
import { PairTokenizer } from "./pair-tokenizer.ts";
import type { LoadedModel } from "./protocol.ts";
import { type RerankerFacts, rerankerFacts } from "./reranker.ts";

/** A loaded embedding model; lives as long as the child process. */
export interface EmbeddingEngine {
  readonly info: LoadedModel;
  readonly tokenizer: EmbeddingTokenizer;
  /** Of a reranker only. */
  readonly pairs: PairTokenizer | undefined;
  /** The vector of these ids, of length 1; waits while all contexts compute. */
  embed(tokens: Uint32Array): Promise<Float32Array>;
  /** What a reranker says of these ids: a number to put documents in order by, and the relevance from 0 to 1. */
  score(tokens: Uint32Array): Promise<Float32Array>;
  detokenize(tokens: Uint32Array, specialTokens: boolean): string;
}

/** Each has compute buffers of its own; more of them gain little. */
const contextsMax = 4;
/** How long a failed load waits for the engine's log to say why. */
const nativeWordsMs = 200;

/** Loads a model. Rejects with a sentence for the operator. */
export async function loadEmbeddingEngine(options: EmbeddingLoadOptions, log: NativeLog): Promise<EmbeddingEngine> {
  let nativeReason: string | undefined;
  const llama = await openEngine({
    device: options.device,
    logger: (level, message) => {
      const isError = level === LlamaLogLevel.error || level === LlamaLogLevel.fatal;
      if (isError) nativeReason ??= message.trim().replace(/^(?:\w+: )*/, "");
      log(isError ? "error" : "warn", message);
    },
  });
  /** The engine's own words come from another thread, a little after the failure. */
  const reasonOf = async (thrown: unknown): Promise<string> => {
    if (nativeReason === undefined) await systemClock.sleep(nativeWordsMs);
    return nativeReason ?? (thrown instanceof Error ? thrown.message : String(thrown));
  };
  const { modelPath } = options;
  const model = await llama
    .loadModel({ modelPath, gpuLayers: options.device.gpuLayers ?? "auto" })
    .catch(async (thrown: unknown) => {
      throw loadFailure(modelPath, await reasonOf(thrown));
    });
  const threads = options.threads ?? defaultThreads(availableParallelism());
  const contexts = Math.min(contextsMax, threads);
  const inputTokensMax = inputLimit(model, options.inputTokensMax);
  const reranker = rerankerFacts(model);
  const addons: EmbeddingAddonContext[] = [];
  for (let index = 0; index < contexts; index++) {
    // A batch as long as the longest input: a shorter one gives wrong vectors without a word. One more than that, since
    // the engine wants room for what it might generate.
    const size = { contextSize: inputTokensMax + 1, batchSize: inputTokensMax + 1 };
    const shared = { ...size, threads: Math.floor(threads / contexts), ignoreMemorySafetyChecks: true };
    const made = reranker === undefined ? model.createEmbeddingContext(shared) : model.createRankingContext(shared);
    const context = await made.catch(async (thrown: unknown) => {
      throw new Error(
        `The engine made no context for the model (${await reasonOf(thrown)}): lower SLUICE_EMBEDDING_INPUT_TOKENS_MAX.`,
      );
    });
    addons.push(reachEmbeddingContext(context));
  }
  return new LlamaEmbeddingEngine(llama, model, addons, { threads, inputTokensMax, reranker });
}

/** Half of what a model that generates takes: the two share the machine, and streams are what people watch. */
function defaultThreads(cores: number): number {
  return Math.max(1, Math.floor((cores - 1) / 2));
}

/** A file may say that the model was trained on shorter inputs than it has positions for. */
function inputLimit(model: LlamaModel, max: number): number {
  const { sluice } = model.fileInfo.metadata as { sluice?: { max_input_tokens?: unknown } };
  const own = sluice?.max_input_tokens;
  return Math.min(max, model.trainContextSize, typeof own === "number" && own > 2 ? own : Number.POSITIVE_INFINITY);
}

interface EngineFacts {
  readonly threads: number;
  readonly inputTokensMax: number;
  readonly reranker: RerankerFacts | undefined;
}

class LlamaEmbeddingEngine implements EmbeddingEngine {
  readonly info: LoadedModel;
  readonly tokenizer: EmbeddingTokenizer;
  readonly pairs: PairTokenizer | undefined;
  readonly #reranker: RerankerFacts | undefined;
  readonly #model: LlamaModel;
  readonly #idle: EmbeddingAddonContext[];
  /** Those that wait for a context, first come first served; the node sends no more than there are contexts. */
  readonly #waiting: ((context: EmbeddingAddonContext) => void)[] = [];

  constructor(
    llama: Llama,
    model: LlamaModel,
    contexts: readonly EmbeddingAddonContext[],
    { threads, inputTokensMax, reranker }: EngineFacts,
  ) {
    this.#model = model;
    this.#reranker = reranker;
    this.#idle = [...contexts];
    const { general, tokenizer } = model.fileInfo.metadata;
    const vocabulary = tokenizer?.ggml?.tokens ?? [];
    const lowercase = (tokenizer?.ggml as { normalizer?: { lowercase?: unknown } } | undefined)?.normalizer?.lowercase;
    this.tokenizer = new EmbeddingTokenizer({
      model,
      vocabulary,
      lowercase: typeof lowercase === "boolean" ? lowercase : undefined,
      inputTokensMax,
    });
    this.pairs = reranker && new PairTokenizer(this.tokenizer, reranker.form);
    const organization = (general as Record<string, unknown> | undefined)?.organization;
    const gpu = model.gpuLayers > 0 && llama.gpu !== false ? llama.gpu : "cpu";
    this.info = {
      contextLength: inputTokensMax,
      sequences: contexts.length,
      threads,
      batchTokens: inputTokensMax,
      kvMemoryMb: 0,
      vocabularySize: vocabulary.length,
      longestTokenBytes: 0,
      chatTemplate: undefined,
      hasFillInMiddle: false,
      license: general?.license ?? "",
      organization: typeof organization === "string" ? organization : "",
      quantization: model.typeDescription.split(" ").at(-1) ?? "",
      engine: `llama.cpp-${llama.llamaCppRelease.release}-${gpu}`,
      gpu,
      gpuDevices: [],
      gpuLayers: model.gpuLayers,
      layers: model.fileInsights.totalLayers,
      ...(reranker === undefined ? { embeddingDimensions: model.embeddingVectorSize } : { reranks: true }),
    };
  }

  async embed(tokens: Uint32Array): Promise<Float32Array> {
    return normalized(await this.#pooled(tokens));
  }

  async score(tokens: Uint32Array): Promise<Float32Array> {
    const [score = Number.NaN] = await this.#pooled(tokens);
    if (!Number.isFinite(score)) throw new Error("the model gave a score that is no number");
    return Float32Array.of(score, this.#reranker?.givesProbability ? score : 1 / (1 + Math.exp(-score)));
  }

  /** What the model gives for these ids together. */
  async #pooled(tokens: Uint32Array): Promise<Float64Array> {
    const context = this.#idle.pop() ?? (await new Promise<EmbeddingAddonContext>((take) => this.#waiting.push(take)));
    try {
      context.disposeSequence(0);
      context.initBatch(tokens.length);
      // Every token takes part in the pooling.
      context.addToBatch(
        0,
        0,
        tokens,
        Uint32Array.from(tokens, (_, index) => index),
      );
      await context.decodeBatch();
      return context.getEmbedding(tokens.length);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(context);
      else next(context);
    }
  }

  detokenize(tokens: Uint32Array, specialTokens: boolean): string {
    this.tokenizer.requireIds(tokens, "token_ids");
    return reachEmbeddingModel(this.#model).detokenize(tokens, specialTokens);
  }
}

function normalized(vector: Float64Array): Float32Array {
  const norm = Math.hypot(...vector);
  if (!Number.isFinite(norm) || norm === 0) throw new Error("the model gave a vector without a direction");
  return Float32Array.from(vector, (value) => value / norm);
}
