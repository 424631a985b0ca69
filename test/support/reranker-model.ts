// A reranker for tests, of which none can be fetched: the default embedding model under a head of known weights.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { LogEntry } from "../../inference-node/log.ts";
import { DEFAULT_EMBEDDING_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import {
  type RerankRequest,
  RerankRequestSchema,
  type RerankResponse,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { embeddingRuntime } from "./embedding-model.ts";
import { type GgufChanges, type GgufFile, readGguf, writeGguf } from "./gguf-file.ts";
import { seededWeights } from "./seeded-weights.ts";

export const RERANKER = "test-reranker";
const width = 384;
/** llama.cpp's numbers. */
export const poolings = { cls: 2, rank: 4 } as const;

/** A dense layer with tanh, and one output. */
export interface Head {
  readonly dense: Float32Array;
  readonly denseBias: Float32Array;
  readonly output: Float32Array;
  readonly outputBias: Float32Array;
}

/** The same weights each time. Neither layer saturates on this model's vectors, so that each of them counts. */
export function knownHead(): Head {
  return {
    dense: seededWeights(1, width * width, 0.2),
    denseBias: seededWeights(2, width, 0.2),
    output: seededWeights(3, width, 0.4),
    outputBias: Float32Array.of(0.25),
  };
}

/** The logit of a vector by the head's definition: output · tanh(dense · vector + bias) + bias. */
export function logitOf(head: Head, vector: readonly number[]): number {
  let logit = head.outputBias[0] ?? 0;
  for (let row = 0; row < width; row++) {
    let sum = head.denseBias[row] ?? 0;
    for (let column = 0; column < width; column++)
      sum += (head.dense[row * width + column] ?? 0) * (vector[column] ?? 0);
    logit += (head.output[row] ?? 0) * Math.tanh(sum);
  }
  return logit;
}

export const headTensors = (head: Head): NonNullable<GgufChanges["tensors"]> => [
  { name: "cls.weight", shape: [width, width], values: head.dense },
  { name: "cls.bias", shape: [width], values: head.denseBias },
  { name: "cls.output.weight", shape: [width, 1], values: head.output },
  { name: "cls.output.bias", shape: [1], values: head.outputBias },
];

/** A folder of models made of the default embedding model; `remove` it in the end. */
export interface ModelFolder {
  /** Writes one with changes and gives its path. */
  write(name: string, changes: GgufChanges): string;
  remove(): void;
}

export async function modelFolder(): Promise<ModelFolder> {
  const original: GgufFile = readGguf((await resolveModel(DEFAULT_EMBEDDING_MODEL)).path);
  const folder = mkdtempSync(join(tmpdir(), "sluice-reranker-"));
  return {
    write: (name, changes) => {
      const path = join(folder, `${name}.gguf`);
      writeGguf(path, original, changes);
      return path;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** What makes the embedding model a reranker. */
export const rerankerChanges = (head: Head): GgufChanges => ({
  metadata: { "bert.pooling_type": { type: "uint32", value: poolings.rank } },
  tensors: headTensors(head),
});

/** A runtime on a file; not started yet. */
export function rerankerRuntime(path: string, entries: LogEntry[] = []): Runtime {
  return embeddingRuntime({ modelId: RERANKER, locate: async () => path, entries });
}

export function rerankRequest(
  documents: readonly string[],
  options: { query?: string; topN?: number; truncate?: boolean; model?: string } = {},
): RerankRequest {
  return create(RerankRequestSchema, {
    requestId: "rerank-test",
    model: RERANKER,
    query: "Where is the cat?",
    documents: [...documents],
    ...options,
  });
}

export async function rerank(
  runtime: Runtime,
  documents: Parameters<typeof rerankRequest>[0],
  options: Parameters<typeof rerankRequest>[1] & { signal?: AbortSignal } = {},
): Promise<RerankResponse> {
  const { signal = new AbortController().signal, ...rest } = options;
  if (runtime.rerank === undefined) throw new Error("the runtime scores no documents");
  return await runtime.rerank(rerankRequest(documents, rest), signal);
}
