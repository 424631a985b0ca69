// A test client of the native door.
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../proto/gen/google/rpc/status_pb.js";
import type { GenerateEvent } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { InferenceService } from "../../proto/gen/sluice/inference/v1/service_pb.js";
import type { CallFailure, StreamOptions, TestClient } from "./test-client.ts";

export interface NativeClientOptions {
  secret?: string;
  credentials?: ChannelCredentials;
  /** Sent along with each call. */
  metadata?: Readonly<Record<string, string>>;
}

/** A client of the native door at `address`. */
export function nativeClient(address: string, options: NativeClientOptions = {}): TestClient & { raw: Client } {
  const raw = new Client(address, options.credentials ?? credentials.createInsecure());
  const metadata = (): Metadata => {
    const sent = new Metadata();
    if (options.secret !== undefined) sent.set("authorization", `Bearer ${options.secret}`);
    for (const [name, value] of Object.entries(options.metadata ?? {})) sent.set(name, value);
    return sent;
  };
  const unary = <T>(localName: string, request: Record<string, unknown>): Promise<T> => {
    const method = InferenceService.methods.find((one) => one.localName === localName);
    if (method === undefined) throw new Error(`no method ${localName}`);
    const input: DescMessage = method.input;
    return new Promise<T>((resolve, reject) => {
      raw.makeUnaryRequest(
        `/${InferenceService.typeName}/${method.name}`,
        (message: Record<string, unknown>) => Buffer.from(toBinary(input, create(input, message))),
        (bytes) => fromBinary(method.output as DescMessage, bytes),
        request,
        metadata(),
        (error, value) => (error ? reject(nativeFailure(error)) : resolve(value as T)),
      );
    });
  };
  return {
    raw,
    unary,
    control: (requestId, action) => unary("control", { requestId, action }),
    close: () => raw.close(),
    generate: (request, { timeoutMs, signal, onEvent }: StreamOptions = {}) =>
      new Promise((resolve) => {
        const { input, output, name } = InferenceService.method.generate;
        const events: GenerateEvent[] = [];
        const call = raw.makeServerStreamRequest(
          `/${InferenceService.typeName}/${name}`,
          () => Buffer.from(toBinary(input, request)),
          (bytes) => fromBinary(output, bytes),
          request,
          metadata(),
          timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
        );
        signal?.addEventListener("abort", () => call.cancel(), { once: true });
        call.on("data", (event: GenerateEvent) => {
          events.push(event);
          onEvent?.(event);
        });
        call.on("error", (error: ServiceError) => resolve({ events, failure: nativeFailure(error) }));
        call.on("end", () => resolve({ events, failure: undefined }));
      }),
  };
}

/** A grpc-js error with its details read. */
function nativeFailure(error: ServiceError): CallFailure {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = bytes === undefined ? [] : fromBinary(StatusSchema, bytes as Buffer).details;
  const info = details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((one) => one !== undefined);
  const retry = details.map((any) => anyUnpack(any, RetryInfoSchema)).find((one) => one !== undefined);
  return {
    code: error.code,
    message: error.details,
    reason: info?.reason,
    domain: info?.domain,
    metadata: info?.metadata ?? {},
    retryMs: retry?.retryDelay && durationMs(retry.retryDelay),
  };
}
