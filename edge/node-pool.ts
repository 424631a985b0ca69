// The edge's way to the inference nodes: typed calls out, ApiErrors back.
import { create, type DescMessage, type DescMethod, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema, RetryInfoSchema } from "../proto/gen/google/rpc/error_details_pb.js";
import type {
  EmbedRequest,
  EmbedResponse,
  RerankRequest,
  RerankResponse,
} from "../proto/gen/sluice/inference/v1/embed_pb.js";
import type { GenerateEvent, GenerateRequest } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { ListModelsRequestSchema, type ListModelsResponse } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { InferenceService } from "../proto/gen/sluice/inference/v1/service_pb.js";
import type { Clock } from "./clock.ts";
import { ApiError, codeOfGrpcStatus, type ErrorCode } from "./errors.ts";
import { callGrpcWeb, GrpcError, type GrpcWebCall } from "./grpc-web.ts";

/** The contract's name for itself in google.rpc.ErrorInfo: only errors of this domain have public messages. */
const ERROR_DOMAIN = "sluice.dev";
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
/** grpc-js's own receive limit is 4 MiB; prompt log-probabilities of a long prompt are the largest message there is. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
const RETRY_AFTER_DEFAULT_MS = 1000;

export interface NodeCallOptions {
  signal: AbortSignal;
  /** Told to the node as its deadline. */
  timeoutMs: number;
  /** W3C trace context of the client's request, handed on. */
  traceparent?: string | undefined;
}

/** The nodes. Every method throws ApiErrors, whose `param` is a path of the contract. */
export interface NodePool {
  /** Generates. Events that arrived together come together. An abort of the signal frees the node's slot. */
  generate(request: GenerateRequest, options: NodeCallOptions): AsyncGenerator<GenerateEvent[], void, undefined>;
  /** Makes embeddings. Gives up after the timeout by itself. */
  embed(request: EmbedRequest, options: NodeCallOptions): Promise<EmbedResponse>;
  /** Scores documents. Gives up after the timeout by itself. */
  rerank(request: RerankRequest, options: NodeCallOptions): Promise<RerankResponse>;
  /** The models and the state that each is in. Gives up after the timeout by itself. */
  listModels(options: NodeCallOptions): Promise<ListModelsResponse>;
}

export interface NodePoolConfig {
  /** Origin of the node's gRPC-Web door. */
  url: string;
  /** Shared secret that the node asks for. */
  secret: string;
  fetch: typeof fetch;
  clock: Clock;
}

/** A pool of one address; behind it is a node, or a proxy that balances many. */
export function createNodePool(config: NodePoolConfig): NodePool {
  const baseUrl = config.url.replace(/\/+$/, "");
  const callOf = (options: NodeCallOptions): GrpcWebCall => ({
    fetch: config.fetch,
    baseUrl,
    headers: {
      authorization: `Bearer ${config.secret}`,
      ...(options.traceparent === undefined ? {} : { traceparent: options.traceparent }),
    },
    timeoutMs: options.timeoutMs,
    signal: options.signal,
    messageBytesMax: MESSAGE_BYTES_MAX,
  });
  const unary = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    request: MessageShape<I>,
    options: NodeCallOptions,
  ): Promise<MessageShape<O>> => {
    const abort = new AbortController();
    const expire = (): void => abort.abort(new ApiError("deadline_exceeded", undefined, { detail: "edge: deadline" }));
    const cancelTimer = config.clock.after(options.timeoutMs, expire);
    const signal = AbortSignal.any([options.signal, abort.signal]);
    try {
      const call = callOf({ ...options, signal });
      let answer: MessageShape<O> | undefined;
      // Read to the end: the status comes last, and the connection is then free for another call.
      for await (const [response] of callGrpcWeb(method, request, call)) answer ??= response;
      if (answer !== undefined) return answer;
      throw new GrpcError(INTERNAL, "The node sent no answer.");
    } catch (error) {
      throw apiErrorOf(error);
    } finally {
      cancelTimer();
    }
  };
  return {
    async *generate(request, options) {
      try {
        yield* callGrpcWeb(InferenceService.method.generate, request, callOf(options));
      } catch (error) {
        throw apiErrorOf(error);
      }
    },
    embed: (request, options) => unary(InferenceService.method.embed, request, options),
    rerank: (request, options) => unary(InferenceService.method.rerank, request, options),
    listModels: (options) => unary(InferenceService.method.listModels, create(ListModelsRequestSchema), options),
  };
}

/** What a failed call means to the client. */
function apiErrorOf(thrown: unknown): ApiError {
  if (!(thrown instanceof GrpcError)) return ApiError.from(thrown);
  const info = detailOf(thrown.details, ErrorInfoSchema);
  const typed = info?.domain === ERROR_DOMAIN;
  // Without our ErrorInfo UNIMPLEMENTED means an unknown method, which is no fault of the client.
  const code = thrown.status === UNIMPLEMENTED && !typed ? "internal" : codeOfGrpcStatus(thrown.status);
  const cause = thrown.cause instanceof Error ? ` (${thrown.cause.message})` : "";
  const detail = `node: status ${thrown.status} ${info?.reason ?? "untyped"}: ${thrown.message}${cause}`;
  const publicMessage = typed && code !== "internal" ? publicMessageOf(code, thrown.message, info.metadata) : undefined;
  return new ApiError(code, publicMessage, {
    param: info?.metadata.param,
    detail,
    retryAfterMs: retryAfterMsOf(code, thrown.details),
    cause: thrown,
  });
}

function publicMessageOf(code: ErrorCode, message: string, metadata: Record<string, string>): string | undefined {
  const { context_length: context, prompt_tokens: prompt, max_tokens: output, counted } = metadata;
  if (code === "context_length_exceeded" && context !== undefined && prompt !== undefined) {
    const room = output === undefined || output === "0" ? "" : `, and up to ${output} more were asked for`;
    const subject = subjectOf(metadata.param);
    const least = counted === "at_least" ? "at least " : "";
    return `The model's context holds ${context} tokens. ${subject} ${least}${prompt} tokens${room}.`;
  }
  return message === "" ? undefined : message;
}

/** What has too many tokens, by the contract's name for it. */
function subjectOf(param = ""): string {
  if (param.startsWith("inputs")) return "The input has";
  if (param.startsWith("documents")) return "The document and the query have";
  return param === "query" ? "The query has, with what stands around it," : "The messages have";
}

function retryAfterMsOf(code: ErrorCode, details: readonly Any[]): number | undefined {
  if (code !== "overloaded") return undefined;
  const info = detailOf(details, RetryInfoSchema);
  return info?.retryDelay === undefined ? RETRY_AFTER_DEFAULT_MS : Math.max(1, Math.ceil(durationMs(info.retryDelay)));
}

/** The detail of that type, or undefined when there is none that can be read. */
function detailOf<T extends DescMessage>(details: readonly Any[], schema: T): MessageShape<T> | undefined {
  try {
    for (const packed of details) {
      const detail = anyUnpack(packed, schema);
      if (detail !== undefined) return detail;
    }
  } catch {
    // A detail that is no valid message says nothing; the status still does.
  }
  return undefined;
}
