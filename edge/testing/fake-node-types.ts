// What the stand-in node can be told and asked.
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  EmbedRequest,
  EmbedResponseSchema,
  RerankRequest,
  RerankResponseSchema,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import type { GenerateEventSchema, GenerateRequest } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { ModelSchema } from "../../proto/gen/sluice/inference/v1/model_pb.js";

export type EventInit = MessageInitShape<typeof GenerateEventSchema>;
export type FakeGenerate = (request: GenerateRequest, signal: AbortSignal) => AsyncGenerator<EventInit>;

export interface TypedErrorOptions {
  reason?: string;
  domain?: string;
  metadata?: Record<string, string>;
  retryAfterMs?: number;
}

export interface FakeNode {
  /** What was asked, in order. */
  requests: GenerateRequest[];
  /** The headers of every call. */
  headers: Headers[];
  /** Generations that were ended from outside. */
  aborted: number;
  /** Served by ListModels, or what it throws. */
  models: MessageInitShape<typeof ModelSchema>[] | Error;
  generate: FakeGenerate;
  /** What was asked for vectors of, in order. */
  embedRequests: EmbedRequest[];
  embed: (request: EmbedRequest, signal: AbortSignal) => Promise<MessageInitShape<typeof EmbedResponseSchema>>;
  /** What was asked for scores of, in order. */
  rerankRequests: RerankRequest[];
  rerank: (request: RerankRequest, signal: AbortSignal) => Promise<MessageInitShape<typeof RerankResponseSchema>>;
  fetch: typeof fetch;
}
