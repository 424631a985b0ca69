// A test client of the gRPC-Web door.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import type { GenerateEvent } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { InferenceService } from "../../proto/gen/sluice/inference/v1/service_pb.js";
import type { CallFailure, TestClient } from "./test-client.ts";

export interface WebClientOptions {
  secret?: string;
  /** Options of node:https. */
  nodeOptions?: object;
}

/** A client of the gRPC-Web door at `baseUrl`. */
export function webClient(baseUrl: string, { secret, nodeOptions }: WebClientOptions = {}): TestClient {
  const transport = createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { ...nodeOptions } });
  const client = createClient(InferenceService, transport);
  const headers: Record<string, string> = secret === undefined ? {} : { authorization: `Bearer ${secret}` };
  const methods = client as unknown as Record<string, (request: object, options: object) => Promise<unknown>>;
  const unary = async <T>(method: string, request: object): Promise<T> => {
    try {
      return (await methods[method]?.(request, { headers })) as T;
    } catch (thrown) {
      throw webFailure(thrown);
    }
  };
  return {
    unary,
    control: (requestId, action) => unary("control", { requestId, action }),
    close: () => undefined,
    generate: async (request, { timeoutMs, signal, onEvent } = {}) => {
      const events: GenerateEvent[] = [];
      const options = { headers, ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) };
      try {
        for await (const event of client.generate(request, options)) {
          events.push(event);
          onEvent?.(event);
        }
        return { events, failure: undefined };
      } catch (thrown) {
        return { events, failure: webFailure(thrown) };
      }
    },
  };
}

function webFailure(thrown: unknown): CallFailure {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason,
    domain: info?.domain,
    metadata: info?.metadata ?? {},
    retryMs: retry?.retryDelay && durationMs(retry.retryDelay),
  };
}
