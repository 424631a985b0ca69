// A stand-in for the inference node: connect's own gRPC-Web server, so that the edge's client is held to another's reading.
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { FinishReason, type GenerateRequest } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { InferenceService } from "../../proto/gen/sluice/inference/v1/service_pb.js";
import type { EventInit, FakeGenerate, FakeNode, TypedErrorOptions } from "./fake-node-types.ts";

export const admitted: EventInit = { event: { case: "admitted", value: { queuePosition: 0 } } };

export const prefilled: EventInit = {
  event: { case: "prefilled", value: { promptTokens: 7, cachedTokens: 2, systemFingerprint: "fp_test" } },
};

export function said(value: string, completionTokens = 1): EventInit {
  return { event: { case: "delta", value: { part: { case: "text", value }, completionTokens } } };
}

export function finished(reason: FinishReason = FinishReason.STOP, completionTokens = 2): EventInit {
  const usage = { promptTokens: 7, cachedTokens: 2, completionTokens, reasoningTokens: 0 };
  return { event: { case: "finished", value: { reason, usage, systemFingerprint: "fp_test" } } };
}

/** What the node's typed refusals look like. */
export function typedError(code: Code, message: string, options: TypedErrorOptions = {}): ConnectError {
  const { reason = "TEST", retryAfterMs, domain = "sluice.dev", metadata = {} } = options;
  const details = [{ desc: ErrorInfoSchema, value: { reason, domain, metadata } }];
  if (retryAfterMs === undefined) return new ConnectError(message, code, undefined, details);
  const retryDelay = { seconds: BigInt(Math.floor(retryAfterMs / 1000)), nanos: (retryAfterMs % 1000) * 1_000_000 };
  const retry = { desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) };
  return new ConnectError(message, code, undefined, [...details, retry]);
}

/** A node that answers "Hello world" unless told otherwise. */
export function createFakeNode(): FakeNode {
  const node: FakeNode = {
    requests: [],
    headers: [],
    aborted: 0,
    models: [{ id: "scripted", state: ModelState.READY, contextLength: 4096, ownedBy: "sluice" }],
    async *generate() {
      yield* [admitted, prefilled, said("Hello", 1), said(" world", 2), finished()];
    },
    embedRequests: [],
    embed: async ({ inputs }) => ({
      embeddings: inputs.map((_, index) => ({ values: [0.6, -0.8, index] })),
      promptTokens: 3 * inputs.length,
    }),
    rerankRequests: [],
    rerank: async ({ documents, topN }) => ({
      // The last one is the best.
      results: documents
        .map((_, index) => ({ index, relevanceScore: (index + 1) / 8 }))
        .toReversed()
        .slice(0, topN || documents.length),
      promptTokens: 5 * documents.length,
    }),
    fetch: (input, init) => handle(new Request(input as RequestInfo, init)),
  };
  const router = createConnectRouter({ grpc: false, connect: false }).service(InferenceService, {
    generate: (request: GenerateRequest, context: HandlerContext) => serve(node, request, context),
    embed(request, context) {
      node.embedRequests.push(request);
      node.headers.push(context.requestHeader);
      return node.embed(request, context.signal);
    },
    rerank(request, context) {
      node.rerankRequests.push(request);
      node.headers.push(context.requestHeader);
      return node.rerank(request, context.signal);
    },
    listModels(_request, context) {
      node.headers.push(context.requestHeader);
      if (node.models instanceof Error) throw node.models;
      return { models: node.models };
    },
  });
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, createFetchHandler(handler)]));
  const handle = async (request: Request): Promise<Response> => {
    const handler = handlers.get(new URL(request.url).pathname);
    return handler === undefined ? new Response(null, { status: 404 }) : handler(request);
  };
  return node;
}

async function* serve(node: FakeNode, request: GenerateRequest, context: HandlerContext): ReturnType<FakeGenerate> {
  node.requests.push(request);
  node.headers.push(context.requestHeader);
  let ended = false;
  context.signal.addEventListener("abort", () => {
    if (!ended) node.aborted++;
  });
  try {
    yield* node.generate(request, context.signal);
  } catch (error) {
    throw error instanceof Error ? error : new ConnectError(String(error), Code.Internal);
  } finally {
    ended = true;
  }
}
