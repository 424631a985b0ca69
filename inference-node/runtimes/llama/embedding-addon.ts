// The native objects of node-llama-cpp that embeddings and scores are computed with; internal to that package as those of addon.ts are.
import type { LlamaEmbeddingContext, LlamaModel, LlamaRankingContext } from "node-llama-cpp";
import type { AddonContext, AddonModel } from "./addon.ts";

export interface EmbeddingAddonContext
  extends Pick<AddonContext, "initBatch" | "addToBatch" | "decodeBatch" | "disposeSequence"> {
  /** The pooled vector of sequence 0, as the model gives it: of any length. A reranker's scores are in its place. */
  getEmbedding(inputTokens: number): Float64Array;
}

export interface EmbeddingAddonModel extends AddonModel {
  shouldPrependBosToken(): boolean;
  shouldAppendEosToken(): boolean;
}

/** Reaches through the public object; throws when this is not the version that this was written for. */
export function reachEmbeddingContext(context: LlamaEmbeddingContext | LlamaRankingContext): EmbeddingAddonContext {
  const { _llamaContext: inner } = context as unknown as { _llamaContext?: { _ctx?: EmbeddingAddonContext } };
  if (!inner?._ctx?.getEmbedding) throw wrongVersion();
  return inner._ctx;
}

/** Likewise. */
export function reachEmbeddingModel(model: LlamaModel): EmbeddingAddonModel {
  const { _model: inner } = model as unknown as { _model?: EmbeddingAddonModel };
  if (!inner?.shouldAppendEosToken) throw wrongVersion();
  return inner;
}

function wrongVersion(): Error {
  return new Error("node-llama-cpp's native objects are not where version 3.21.1 has them; install that version");
}
