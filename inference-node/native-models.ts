// Makes the native runtimes that the configuration names: models that generate, and embedding models and rerankers beside them.
import { readFile } from "node:fs/promises";
import type { NodeConfig } from "./config.ts";
import { ConfigError } from "./env-values.ts";
import { JoinedRuntime } from "./joined-runtime.ts";
import { CATALOGUE } from "./model-source/catalogue.ts";
import { readGgufHeader } from "./model-source/gguf.ts";
import { idOfReference, type ResolvedModel, resolveModel } from "./model-source/resolve.ts";
import type { Runtime } from "./runtime.ts";
import type { RuntimeDeps } from "./runtime-table.ts";
import { createEmbeddingRuntime, type EmbeddingModelFacts } from "./runtimes/embedding.ts";
import { createLlamaRuntime } from "./runtimes/llama.ts";

/** llama.cpp's `llama_pooling_type` of a reranker. */
const poolingRank = 4;

/** Fetches the models that generate; those for embeddings are fetched once the node serves. Rejects with a sentence. */
export async function createNativeModels(config: NodeConfig, deps: RuntimeDeps): Promise<Runtime> {
  // A name that means nothing is said before anything is fetched.
  const embeddingIds = new Map(config.embeddingModels.map((reference) => [idOfReference(reference), reference]));
  const found: ResolvedModel[] = [];
  for (const reference of config.models) found.push(await resolve(reference, deps, deps.signal));
  const names = found.map(({ id }) => id);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) {
    throw new ConfigError(`SLUICE_MODEL names two models that would both be called ${twice}: rename one of the files.`);
  }
  const poolings = await Promise.all(found.map(poolingOf));
  const shares = poolings.filter((pooling) => pooling === 0).length;
  if (config.chatTemplate !== undefined && shares > 1) {
    throw new ConfigError("SLUICE_CHAT_TEMPLATE is one model's, but SLUICE_MODEL names several.");
  }
  const required: Runtime[] = [];
  for (const [index, model] of found.entries()) {
    const pooling = poolings[index] ?? 0;
    required.push(
      pooling > 0
        ? embeddingRuntime(config, deps, model, pooling === poolingRank)
        : await llamaRuntime(config, deps, model, shares),
    );
  }
  for (const name of names) embeddingIds.delete(name);
  const later = [...embeddingIds.values()].map((reference) => laterEmbeddingRuntime(config, deps, reference));
  const [only] = required;
  if (only !== undefined && required.length + later.length === 1) return only;
  return new JoinedRuntime({ required, later, clock: deps.clock, log: deps.log });
}

async function resolve(reference: string, { log, clock }: RuntimeDeps, signal: AbortSignal): Promise<ResolvedModel> {
  const model = await resolveModel(reference, {
    clock,
    signal,
    onNotice: (sentence) => log({ level: "warn", event: "model.notice", message: sentence }),
  });
  log({ level: "info", event: "model.resolved", model: model.id, source: model.source, bytes: model.bytes });
  return model;
}

/** A file that says how to pool its tokens' vectors into one, or into a score, is made for that. */
async function poolingOf({ path }: ResolvedModel): Promise<number> {
  const { pooling = 0 } = await readGgufHeader(path);
  return pooling;
}

async function llamaRuntime(
  config: NodeConfig,
  { log, clock }: RuntimeDeps,
  model: ResolvedModel,
  memoryShares: number,
): Promise<Runtime> {
  const { quantization, license, ownedBy, serving } = model;
  return createLlamaRuntime({
    ...engineOptions(config),
    modelPath: model.path,
    modelId: model.id,
    quantization,
    license,
    ownedBy,
    sequences: config.sequences,
    contextLength: config.contextLength,
    batchTokens: config.batchTokens,
    kvMemoryMb: config.kvMemoryMb,
    memoryShares,
    defaultMaxTokens: config.defaultMaxTokens,
    device: config.engine.device,
    prefixCacheMb: config.engine.prefixCacheMb,
    prefixSpill: config.engine.prefixSpill,
    guessTokensMax: config.engine.guessTokensMax,
    chatTemplate: await chatTemplate(config.chatTemplate, serving?.chatTemplate),
    samplingDefaults: { temperature: serving?.temperature, topP: serving?.topP },
    // Which of the children it was.
    log: (entry) => log({ ...entry, model: model.id }),
    clock,
  });
}

function engineOptions({ threads, childEnv, stepTimeoutMs, loadTimeoutMs, engine }: NodeConfig) {
  const { childMemoryMaxMb, crashDir } = engine;
  return { threads, childEnv, stepTimeoutMs, loadTimeoutMs, childMemoryMaxMb, crashDir };
}

function embeddingRuntime(config: NodeConfig, deps: RuntimeDeps, model: ResolvedModel, reranks: boolean): Runtime {
  const { id, path, quantization, license, ownedBy } = model;
  return makeEmbeddingRuntime(config, deps, id, { reranks, quantization, license, ownedBy }, async () => path);
}

function laterEmbeddingRuntime(config: NodeConfig, deps: RuntimeDeps, reference: string): Runtime {
  const id = idOfReference(reference);
  const entry = CATALOGUE.find((one) => one.id === id);
  const locate = async (signal: AbortSignal): Promise<string> => (await resolve(reference, deps, signal)).path;
  const facts = {
    ...entry?.embedding,
    quantization: entry?.quantization,
    license: entry?.license,
    ownedBy: entry?.ownedBy,
  };
  return makeEmbeddingRuntime(config, deps, id, facts, locate);
}

function makeEmbeddingRuntime(
  config: NodeConfig,
  { log, clock }: RuntimeDeps,
  modelId: string,
  facts: EmbeddingModelFacts,
  locate: (signal: AbortSignal) => Promise<string>,
): Runtime {
  const { gpu, inputTokensMax } = config.embedding;
  const device = { ...config.engine.device, gpu, gpuLayers: undefined };
  return createEmbeddingRuntime({
    ...engineOptions(config),
    modelId,
    facts,
    locate,
    inputTokensMax,
    device,
    log,
    clock,
  });
}

/** The operator's template file, else the catalogue's; undefined leaves it to the model's file. */
async function chatTemplate(path: string | undefined, fromCatalogue: string | undefined): Promise<string | undefined> {
  if (path === undefined) return fromCatalogue;
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new ConfigError(`SLUICE_CHAT_TEMPLATE: ${path} can't be read: ${String(cause)}`);
  }
}
