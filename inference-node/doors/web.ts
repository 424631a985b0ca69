// The gRPC-Web door over HTTP/1.1 for workers, which speak no HTTP/2 outwards; also metrics and probes.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type Code as ConnectCode, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { InferenceService } from "../../proto/gen/sluice/inference/v1/service_pb.js";
import type { Call } from "../call.ts";
import type { Clock } from "../clock.ts";
import { NodeError } from "../node-error.ts";
import type { Service } from "../service.ts";
import { errorDetails } from "./error-details.ts";
import { pipeEvents } from "./event-pipe.ts";
import { type DoorOptions, messageBytesMax } from "./grpc.ts";
import { type PlainOptions, plainAnswer } from "./plain.ts";
import type { TlsMaterial } from "./tls.ts";

export interface WebDoorOptions extends DoorOptions, PlainOptions {}

export interface WebDoor {
  /** The port that is listened on. */
  readonly port: number;
  /** Stops listening, lets running calls end for at most `graceMs`, then cuts what is left. */
  close(graceMs: number): Promise<void>;
}

/** Opens the door. Rejects when the port can't be bound. */
export async function openWebDoor(options: WebDoorOptions): Promise<WebDoor> {
  const { authenticate, clock, host, port, service, tls } = options;
  const rpc = connectNodeAdapter({
    routes: (router) => addRoutes(router, service, clock),
    readMaxBytes: messageBytesMax,
    // Messages are small, and a compressed request could be larger than it looks.
    acceptCompression: [],
    requestGate: ({ requestHeader }) => asConnectErrors(() => authenticate(requestHeader.get("authorization"))),
    fallback: (request, response) => {
      servePlain(options, request as IncomingMessage, response as ServerResponse);
    },
  });
  const server = createHttpServer(rpc as RequestListener, tls);
  await listen(server, host, port);
  return { port: (server.address() as AddressInfo).port, close: (graceMs) => close(server, graceMs, clock) };
}

function createHttpServer(listener: RequestListener, tls: TlsMaterial | undefined): Server {
  // Streams may be long and silent: the only limits on time are on the request's head and body.
  const options = { keepAliveTimeout: 65_000, headersTimeout: 20_000, requestTimeout: 60_000, noDelay: true };
  if (tls === undefined) return createServer(options, listener);
  const { cert, key, clientCa } = tls;
  const client = clientCa && { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ ...options, cert, key, ...client }, listener);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function close(server: Server, graceMs: number, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await Promise.race([closed, clock.sleep(graceMs)]);
  server.closeAllConnections();
  await closed;
}

function addRoutes(router: ConnectRouter, service: Service, clock: Clock): void {
  const call = (context: HandlerContext): Call => callOf(context, clock);
  router.service(InferenceService, {
    async *generate(request, context) {
      const { signal } = context;
      try {
        yield* pipeEvents((write) => service.generate(request, call(context), write), signal);
      } catch (thrown) {
        throw connectError(NodeError.from(thrown));
      }
    },
    control: (request) => asConnectErrors(() => service.control(request)),
    journal: (request) => asConnectErrors(() => service.journal(request)),
    listModels: () => asConnectErrors(() => service.listModels()),
    embed: (request, context) => asConnectErrors(() => service.embed(request, call(context))),
    rerank: (request, context) => asConnectErrors(() => service.rerank(request, call(context))),
    tokenize: (request, context) => asConnectErrors(() => service.tokenize(request, call(context))),
    detokenize: (request, context) => asConnectErrors(() => service.detokenize(request, call(context))),
    countTokens: (request, context) => asConnectErrors(() => service.countTokens(request, call(context))),
  });
}

function callOf(context: HandlerContext, clock: Clock): Call {
  const remainingMs = context.timeoutMs();
  return {
    signal: context.signal,
    deadlineAt: remainingMs === undefined ? undefined : clock.monotonic() + remainingMs,
    traceparent: context.requestHeader.get("traceparent") ?? undefined,
  };
}

/** Runs work whose NodeErrors become ConnectErrors. */
async function asConnectErrors<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw connectError(NodeError.from(thrown));
  }
}

/** The same status and details as on the native door; the codes' numbers are gRPC's in both. */
function connectError(error: NodeError): ConnectError {
  const { info, retry } = errorDetails(error);
  const details = [{ desc: ErrorInfoSchema, value: info }, ...(retry ? [{ desc: RetryInfoSchema, value: retry }] : [])];
  return new ConnectError(error.message, error.code satisfies ConnectCode, undefined, details, error.cause);
}

function servePlain(options: PlainOptions, request: IncomingMessage, response: ServerResponse): void {
  const { status, body, headers } = plainAnswer(options, request.method, request.url, request.headers.authorization);
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
  response.end(request.method === "HEAD" ? undefined : body);
}
