// What the node and a native child that makes embeddings, or scores documents, say to each other, beside what every child says.
import type { PairDocument } from "./pair-tokenizer.ts";
import type { DeviceOptions } from "./protocol.ts";

export interface EmbeddingLoadOptions {
  readonly modelPath: string;
  /** Threads of all contexts together. */
  readonly threads: number | undefined;
  /** Most tokens of an input, if the model takes more. */
  readonly inputTokensMax: number;
  readonly device: DeviceOptions;
}

/** One text or list of token ids, as it came. */
export interface EmbeddingInput {
  readonly content: string | readonly number[];
  /** Cut to what the model takes instead of refused. */
  readonly truncate: boolean;
  /** The request's field that holds it, for refusals. */
  readonly param: string;
}

export type ToEmbeddingChild =
  /** Answered with the ids that the model sees, or OUT_OF_RANGE. */
  | { type: "read_input"; call: number; input: EmbeddingInput }
  /** Answered with a vector of length 1. */
  | { type: "embed"; call: number; tokens: Uint32Array }
  /** Of a reranker: answered with the head that each document of the request is sent with, or OUT_OF_RANGE. */
  | { type: "read_query"; call: number; query: string }
  /** Answered with the ids that the model sees of the query and this document, or OUT_OF_RANGE. */
  | { type: "read_document"; call: number; head: Uint32Array; document: PairDocument }
  /** Answered with a number to put documents in order by, and the relevance from 0 to 1. */
  | { type: "score"; call: number; tokens: Uint32Array };
