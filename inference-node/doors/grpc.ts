// The native gRPC door: InferenceService, health and reflection over HTTP/2.
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import type { GenerateEvent } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { InferenceService } from "../../proto/gen/sluice/inference/v1/service_pb.js";
import type { Call } from "../call.ts";
import type { Clock } from "../clock.ts";
import { Code, NodeError } from "../node-error.ts";
import type { Service } from "../service.ts";
import { authInterceptor } from "./grpc-auth.ts";
import { type RawMessage, serverDefinition } from "./grpc-definition.ts";
import { grpcError } from "./grpc-errors.ts";
import { loadContract } from "./grpc-reflection.ts";
import type { Authenticate } from "./secret.ts";
import type { TlsMaterial } from "./tls.ts";

/** Largest message that either door takes. */
export const messageBytesMax = 16 * 1024 * 1024;
/** Calls that one connection may have open. */
const concurrentStreamsMax = 1_024;

export interface DoorOptions {
  service: Service;
  authenticate: Authenticate;
  clock: Clock;
  host: string;
  /** 0 means any free one. */
  port: number;
  tls: TlsMaterial | undefined;
}

export interface GrpcDoor {
  /** The port that is listened on. */
  readonly port: number;
  /** What grpc.health.v1 answers for the node as a whole and for InferenceService. */
  setServing(serving: boolean): void;
  /** Stops listening, lets running calls end for at most `graceMs`, then cuts what is left. */
  close(graceMs: number): Promise<void>;
}

/** Opens the door. Rejects when the port can't be bound. */
export async function openGrpcDoor(options: DoorOptions): Promise<GrpcDoor> {
  const { clock, host, port, tls } = options;
  const server = new Server({
    "grpc.max_receive_message_length": messageBytesMax,
    "grpc.max_concurrent_streams": concurrentStreamsMax,
    // A peer that froze is noticed and its slots become free.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    interceptors: [authInterceptor(options.authenticate)],
  });
  server.addService(serverDefinition(InferenceService), implementation(options));
  const health = new HealthImplementation();
  const setServing = (serving: boolean): void => {
    const status = serving ? "SERVING" : "NOT_SERVING";
    health.setStatus("", status);
    health.setStatus(InferenceService.typeName, status);
  };
  setServing(false);
  health.addToServer(server);
  new ReflectionService(loadContract(), { services: [InferenceService.typeName] }).addToServer(server);
  const bound = await bind(server, `${host.includes(":") ? `[${host}]` : host}:${port}`, credentials(tls));
  return { port: bound, setServing, close: (graceMs) => close(server, graceMs, clock) };
}

function bind(server: Server, address: string, creds: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, creds, (error, port) => (error ? reject(error) : resolve(port)));
  });
}

function credentials(tls: TlsMaterial | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { private_key: tls.key, cert_chain: tls.cert };
  return ServerCredentials.createSsl(tls.clientCa ?? null, [pair], tls.clientCa !== undefined);
}

async function close(server: Server, graceMs: number, clock: Clock): Promise<void> {
  const graceful = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await Promise.race([graceful, clock.sleep(graceMs)]);
  server.forceShutdown();
}

function implementation({ service, clock }: DoorOptions): UntypedServiceImplementation {
  const { method } = InferenceService;
  const unary = <I extends DescMessage, R>(
    input: I,
    answer: (request: MessageShape<I>, call: Call) => R | Promise<R>,
  ): handleUnaryCall<RawMessage, R> => {
    return async function answerUnary(call, callback) {
      try {
        callback(null, await answer(parse(input, call.request), callOf(call, clock)));
      } catch (thrown) {
        callback(grpcError(NodeError.from(thrown)));
      }
    };
  };
  const generate: handleServerStreamingCall<RawMessage, GenerateEvent> = async (stream) => {
    try {
      const request = parse(method.generate.input, stream.request);
      const call = callOf(stream, clock);
      await service.generate(request, call, (event) =>
        stream.write(event) ? undefined : drained(stream, call.signal),
      );
      stream.end();
    } catch (thrown) {
      stream.emit("error", grpcError(NodeError.from(thrown)));
    }
  };
  return {
    generate,
    control: unary(method.control.input, (request) => service.control(request)),
    journal: unary(method.journal.input, (request) => service.journal(request)),
    listModels: unary(method.listModels.input, () => service.listModels()),
    embed: unary(method.embed.input, (request, call) => service.embed(request, call)),
    rerank: unary(method.rerank.input, (request, call) => service.rerank(request, call)),
    tokenize: unary(method.tokenize.input, (request, call) => service.tokenize(request, call)),
    detokenize: unary(method.detokenize.input, (request, call) => service.detokenize(request, call)),
    countTokens: unary(method.countTokens.input, (request, call) => service.countTokens(request, call)),
  };
}

function parse<I extends DescMessage>(input: I, bytes: RawMessage): MessageShape<I> {
  try {
    return fromBinary(input, bytes);
  } catch (cause) {
    throw new NodeError(Code.INVALID_ARGUMENT, `The request is no ${input.typeName}.`, { cause });
  }
}

interface SurfaceCall {
  readonly metadata: Metadata;
  getDeadline(): Date | number;
  once(event: "cancelled", listener: () => void): unknown;
}

/** The call as the service sees it. "cancelled" also comes after a normal end, when nobody listens any more. */
function callOf(call: SurfaceCall, clock: Clock): Call {
  const controller = new AbortController();
  call.once("cancelled", () => controller.abort());
  const deadline = Number(call.getDeadline());
  const [traceparent] = call.metadata.get("traceparent");
  return {
    signal: controller.signal,
    deadlineAt: Number.isFinite(deadline) ? clock.monotonic() + (deadline - clock.now()) : undefined,
    traceparent: traceparent?.toString(),
  };
}

/** Resolves when the stream takes more; rejects when the call is over, for then "drain" never comes. */
function drained(stream: ServerWritableStream<RawMessage, GenerateEvent>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      stream.off("drain", onDrain);
      signal.removeEventListener("abort", onAbort);
    };
    const onDrain = (): void => {
      done();
      resolve();
    };
    const onAbort = (): void => {
      done();
      reject(new NodeError(Code.CANCELLED, "The caller went away."));
    };
    if (signal.aborted) return onAbort();
    stream.once("drain", onDrain);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
