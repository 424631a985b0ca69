// The default embedding model for tests that need its weights: fetched once, then taken from the cache.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { systemClock } from "../../inference-node/clock.ts";
import type { LogEntry } from "../../inference-node/log.ts";
import { DEFAULT_EMBEDDING_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { createEmbeddingRuntime, type EmbeddingRuntimeOptions } from "../../inference-node/runtimes/embedding.ts";
import { anyDevice } from "../../inference-node/runtimes/llama/config.ts";
import {
  type EmbedInputSchema,
  type EmbedRequest,
  EmbedRequestSchema,
  type EmbedResponse,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";

/** A runtime on the default embedding model, or on the file that `locate` gives; not started yet. */
export function embeddingRuntime(options: Partial<EmbeddingRuntimeOptions> & { entries?: LogEntry[] } = {}): Runtime {
  const { entries, ...rest } = options;
  return createEmbeddingRuntime({
    modelId: DEFAULT_EMBEDDING_MODEL,
    facts: {},
    locate: async () => (await resolveModel(DEFAULT_EMBEDDING_MODEL)).path,
    threads: 1,
    inputTokensMax: 2_048,
    device: { ...anyDevice, gpu: "cpu" },
    stepTimeoutMs: 60_000,
    loadTimeoutMs: 60_000,
    clock: systemClock,
    log: (entry) => entries?.push(entry),
    ...rest,
  });
}

/** Texts, or lists of token ids, as a request. */
export function embedRequest(
  inputs: readonly (string | readonly number[])[],
  options: { dimensions?: number; truncate?: boolean } = {},
): EmbedRequest {
  return create(EmbedRequestSchema, {
    requestId: "embed-test",
    model: DEFAULT_EMBEDDING_MODEL,
    inputs: inputs.map(
      (input): MessageInitShape<typeof EmbedInputSchema> =>
        typeof input === "string"
          ? { input: { case: "text", value: input } }
          : { input: { case: "tokens", value: { ids: [...input] } } },
    ),
    ...options,
  });
}

export function embed(
  runtime: Runtime,
  inputs: Parameters<typeof embedRequest>[0],
  options: Parameters<typeof embedRequest>[1] & { signal?: AbortSignal } = {},
): Promise<EmbedResponse> {
  const { signal = new AbortController().signal, ...rest } = options;
  return runtime.embed(embedRequest(inputs, rest), signal);
}

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    const [x, y] = [a[index] ?? 0, b[index] ?? 0];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / Math.sqrt(aa * bb);
}
