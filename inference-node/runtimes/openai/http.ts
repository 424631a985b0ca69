// Speaks HTTP/1.1 to one engine: pooled connections, time-outs, bounded bodies, and an abort that closes the socket at once.
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  Agent as PlainAgent,
  request as plainRequest,
  type RequestOptions,
} from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import type { Socket } from "node:net";
import { Code, NodeError } from "../../node-error.ts";
import type { UpstreamAddress } from "./address.ts";
import { parseJson } from "./json.ts";

export interface UpstreamClientOptions {
  readonly address: UpstreamAddress;
  readonly key: string | undefined;
  readonly connectTimeoutMs: number;
}

export interface Ask {
  readonly method?: "GET" | "POST";
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Until the head of the answer. */
  readonly headTimeoutMs: number;
}

export interface AskWhole extends Ask {
  readonly bytesMax: number;
  /** Between two pieces of the body. */
  readonly bodyTimeoutMs: number;
}

export interface TextAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface JsonAnswer extends Omit<TextAnswer, "text"> {
  /** Undefined when the body is no JSON. */
  readonly value: unknown;
}

/** Why the engine could not be asked; the reason of the NodeError. */
export const unreachable = "UPSTREAM_UNREACHABLE";
export const timedOut = "UPSTREAM_TIMEOUT";
export const brokenOff = "UPSTREAM_BROKE_OFF";

const retryAfterMs = 1_000;
/** Idle connections kept, and how long: shorter than the five seconds after which uvicorn closes its side. */
const freeSocketsMax = 64;
const freeSocketMs = 4_000;
/** For the rest of an answer that is over, so that its connection can be used again. */
const drainMs = 1_000;

/** Every method rejects with UNAVAILABLE when the engine can't be reached, or with the signal's reason. */
export class UpstreamClient {
  readonly #options: UpstreamClientOptions;
  readonly #agent: PlainAgent;

  constructor(options: UpstreamClientOptions) {
    this.#options = options;
    const pool = { keepAlive: true, maxFreeSockets: freeSocketsMax, timeout: freeSocketMs };
    this.#agent = options.address.tls ? new TlsAgent(pool) : new PlainAgent(pool);
  }

  /** Sends a request and resolves with the head of the answer, whatever its status; `path` is whole. */
  async send(path: string, ask: Ask): Promise<IncomingMessage> {
    const pooled = this.#begin(path, ask, this.#agent);
    try {
      return await pooled.head;
    } catch (thrown) {
      // The engine closed a kept connection just as it was used again: nothing of the request was answered.
      if (!pooled.wasStale() || ask.signal.aborted) throw thrown;
      return await this.#begin(path, ask, false).head;
    }
  }

  /** Asks for a text of at most `bytesMax` bytes. */
  async text(path: string, ask: AskWhole): Promise<TextAnswer> {
    const response = await this.send(path, ask);
    const { statusCode = 0, headers } = response;
    return { status: statusCode, headers, text: await readText(response, ask) };
  }

  /** Asks for a JSON document of at most `bytesMax` bytes. */
  async json(path: string, ask: AskWhole): Promise<JsonAnswer> {
    const { status, headers, text } = await this.text(path, ask);
    return { status, headers, value: parseJson(text) };
  }

  /** Closes all connections, those in use too. */
  close(): void {
    this.#agent.destroy();
  }

  #begin(path: string, ask: Ask, agent: PlainAgent | false): { head: Promise<IncomingMessage>; wasStale(): boolean } {
    const { address, connectTimeoutMs } = this.#options;
    const text = ask.body === undefined ? undefined : JSON.stringify(ask.body);
    const options: RequestOptions = {
      method: ask.method ?? (text === undefined ? "GET" : "POST"),
      path,
      agent,
      headers: this.#headers(ask, text),
      ...(address.socketPath === undefined
        ? { host: address.hostname, port: address.port }
        : { socketPath: address.socketPath }),
    };
    const request = address.tls ? tlsRequest(options) : plainRequest(options);
    const head = headOf(request, ask, connectTimeoutMs, address.label);
    request.end(text);
    let stale = false;
    request.once("error", (error: NodeJS.ErrnoException) => {
      stale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
    });
    return { head, wasStale: () => stale };
  }

  #headers({ headers }: Ask, text: string | undefined): Record<string, string> {
    const { key } = this.#options;
    return {
      accept: "application/json, text/event-stream",
      "accept-encoding": "identity",
      ...(text !== undefined && {
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(text)),
      }),
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...headers,
    };
  }
}

function headOf(request: ClientRequest, ask: Ask, connectMs: number, label: string): Promise<IncomingMessage> {
  const { signal, headTimeoutMs } = ask;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      settle();
      reject(error);
      request.destroy();
    };
    const onAbort = (): void => fail(signal.reason);
    const late = setTimeout(
      () => fail(unavailable(`The engine sent no answer within ${headTimeoutMs} ms.`, timedOut)),
      headTimeoutMs,
    );
    let connecting: NodeJS.Timeout | undefined;
    const settle = (): void => {
      clearTimeout(late);
      clearTimeout(connecting);
      signal.removeEventListener("abort", onAbort);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    request.once("socket", (socket: Socket) => {
      if (!socket.connecting) return;
      const message = `The engine at ${label} took no connection within ${connectMs} ms.`;
      connecting = setTimeout(() => fail(unavailable(message, unreachable)), connectMs);
      socket.once("connect", () => clearTimeout(connecting));
    });
    request.on("error", (error: NodeJS.ErrnoException) => fail(connectionError(error, label)));
    request.once("response", (response) => {
      settle();
      // An error that comes later is the body's, and its reader's; without a listener it would end the process.
      response.on("error", () => undefined);
      resolve(response);
    });
  });
}

function connectionError(error: NodeJS.ErrnoException, label: string): NodeError {
  const refused = /^(ECONNREFUSED|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EACCES)$/.test(error.code ?? "");
  const message = refused ? `No engine answers at ${label}.` : "The connection to the engine broke.";
  return unavailable(message, refused ? unreachable : brokenOff, error);
}

function unavailable(message: string, reason: string, cause?: unknown): NodeError {
  return new NodeError(Code.UNAVAILABLE, message, { reason, retryAfterMs, cause });
}

export interface BodyTimeouts {
  /** Until the first piece. */
  readonly firstMs: number;
  /** Between two pieces. Time in which nobody asks for the next one does not count. */
  readonly idleMs: number;
}

/**
 * The pieces of a body. Throws UNAVAILABLE when it breaks off or falls silent, or the signal's reason. Who stops asking
 * before the end says what becomes of the rest: `response.destroy()`, or `drain`.
 */
export async function* bodyOf(
  response: IncomingMessage,
  signal: AbortSignal,
  { firstMs, idleMs }: BodyTimeouts,
): AsyncGenerator<Buffer, void, undefined> {
  let failure: unknown;
  const stop = (reason: unknown): void => {
    failure ??= reason;
    response.destroy();
  };
  const onAbort = (): void => stop(signal.reason);
  const armed = (ms: number): NodeJS.Timeout =>
    setTimeout(() => stop(unavailable(`The engine sent nothing for ${ms} ms.`, timedOut)), ms);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  let timer = armed(firstMs);
  try {
    for await (const piece of response.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      yield piece;
      timer = armed(idleMs);
    }
  } catch (thrown) {
    throw failure ?? unavailable("The engine's answer broke off.", brokenOff, thrown);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
  if (failure !== undefined) throw failure;
}

/** A whole body as text. Throws INTERNAL for one of more than `bytesMax` bytes. */
export async function readText(
  response: IncomingMessage,
  { signal, bytesMax, bodyTimeoutMs }: { signal: AbortSignal; bytesMax: number; bodyTimeoutMs: number },
): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of bodyOf(response, signal, { firstMs: bodyTimeoutMs, idleMs: bodyTimeoutMs })) {
    bytes += piece.length;
    if (bytes > bytesMax) {
      response.destroy();
      throw new NodeError(Code.INTERNAL, "The engine's answer is too large.", { reason: "UPSTREAM_MALFORMED" });
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** Reads what little is left of an answer, without anyone waiting for it. */
export function drain(response: IncomingMessage): void {
  if (response.destroyed || response.readableEnded) return;
  const timer = setTimeout(() => response.destroy(), drainMs);
  response.once("close", () => clearTimeout(timer));
  response.resume();
}
