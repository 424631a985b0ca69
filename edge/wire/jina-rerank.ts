// Reranking in Jina's dialect, which Cohere, vLLM and llama-server share: the request into the contract, scores into its body.
import { create } from "@bufbuild/protobuf";
import { z } from "zod";
import {
  type RerankRequest,
  RerankRequestSchema,
  type RerankResponse,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { ApiError } from "../errors.ts";
import type { CallContext } from "./dialect.ts";
import { checked, text } from "./validation.ts";

/** As Jina has it. */
const DOCUMENTS_MAX = 2048;
const UINT32_MAX = 4_294_967_295;

const oneText = text.min(1);

const rerankSchema = z.object({
  model: oneText.max(256),
  query: oneText,
  documents: z
    .array(z.union([oneText, z.object({ text: oneText })]))
    .min(1)
    .max(DOCUMENTS_MAX),
  top_n: z.int().min(1).max(UINT32_MAX).optional(),
  return_documents: z.boolean().default(false),
  truncate: z.boolean().default(false),
});

/** Accepted without effect. */
const IGNORED = new Set(["user"]);
const useTruncate = "use `truncate`, which cuts each document to what the model takes";
/** Others change what a score means or which come back, and are said rather than left out. */
const REFUSED: Readonly<Record<string, string>> = {
  max_chunks_per_doc: useTruncate,
  max_tokens_per_doc: useTruncate,
  max_doc_length: useTruncate,
  truncate_prompt_tokens: useTruncate,
  truncation: useTruncate,
  rank_fields: "documents are texts; put what is to be scored into them",
  return_embeddings: "ask POST /v1/embeddings for vectors",
  raw_scores: "scores are from 0 to 1",
  return_text: "use `return_documents`",
  texts: "use `documents`",
  top_k: "use `top_n`",
};

/** A request that was read. */
export interface RerankCall {
  request: RerankRequest;
  /** Names of parameters that no API has; they were accepted and did nothing. */
  ignored: readonly string[];
  /** The client's name for a field of the contract. */
  paramOf(contractPath: string): string | undefined;
  /** The whole body. */
  body(response: RerankResponse): string;
}

/**
 * Reads the body of `POST /v1/rerank`. `truncate` is an extension.
 *
 * @throws ApiError `invalid_request` or `unsupported_parameter`, with the parameter's name.
 */
export function readRerank(raw: Record<string, unknown>, { requestId, tenant }: CallContext): RerankCall {
  const given: Record<string, unknown> = {};
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(raw)) {
    if (value === null || IGNORED.has(name)) continue;
    const reason = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (reason !== undefined) {
      throw new ApiError("unsupported_parameter", `\`${name}\` is not supported: ${reason}.`, { param: name });
    }
    if (Object.hasOwn(rerankSchema.shape, name)) given[name] = value;
    else ignored.push(name);
  }
  const { model, query, top_n: topN, truncate, return_documents: withText, ...body } = checked(rerankSchema, given);
  const documents = body.documents.map((document) => (typeof document === "string" ? document : document.text));
  return {
    request: create(RerankRequestSchema, { requestId, model, query, documents, topN: topN ?? 0, truncate, tenant }),
    ignored,
    paramOf: (path) => (/^(?:model|query|documents)/.test(path) ? path : undefined),
    body: ({ results, promptTokens }) =>
      JSON.stringify({
        object: "list",
        model,
        results: results.map(({ index, relevanceScore }) => ({
          index,
          relevance_score: Number(relevanceScore.toPrecision(9)),
          ...(withText ? { document: { text: documents[index] ?? "" } } : {}),
        })),
        usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      }),
  };
}
