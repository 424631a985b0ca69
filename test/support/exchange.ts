// Speaks HTTP as curl does: every byte as it came and when, over a socket of its own that can be torn.
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as openRequest } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";

export interface Ask {
  method?: string;
  /** Sent as `Authorization: Bearer KEY`. */
  key?: string;
  headers?: Record<string, string | string[]>;
  /** An object is sent as JSON; a list of bytes piece by piece, without a content length. */
  body?: object | string | Buffer | Buffer[];
  /** Does not read the answer's body before this resolves. */
  readAfter?: Promise<unknown>;
}

export interface Head {
  status: number;
  headers: IncomingHttpHeaders;
}

/** What one read of the socket brought, and when, in milliseconds after the request was sent. */
export interface Piece {
  atMs: number;
  text: string;
}

export interface Answer extends Head {
  bytes: Buffer;
  text: string;
  pieces: readonly Piece[];
}

/** A request under way. */
export interface Exchange {
  /** Resolves when the head has come. */
  head: Promise<Head>;
  /** Resolves when the body has ended; rejects when the connection broke before that. */
  answer: Promise<Answer>;
  /** What has come of the body so far. */
  text(): string;
  /** Tears the connection, as a client does that is killed. */
  hangUp(): void;
}

/** Begins a request. Nothing is retried, reused or decoded. */
export function exchange(url: string, ask: Ask = {}): Exchange {
  const { body } = ask;
  const headers: Record<string, string | string[]> = { ...ask.headers };
  if (ask.key !== undefined) headers.authorization = `Bearer ${ask.key}`;
  const isJson = body !== undefined && typeof body === "object" && !Buffer.isBuffer(body) && !Array.isArray(body);
  if (isJson) headers["content-type"] ??= "application/json";
  const method = ask.method ?? (body === undefined ? "GET" : "POST");
  const sentAt = performance.now();
  const bytes: Buffer[] = [];
  const pieces: Piece[] = [];
  const request = openRequest(url, { method, headers, agent: false });
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
  const head = response.then(({ statusCode = 0, headers: received }) => ({ status: statusCode, headers: received }));
  const answer = response.then(async (incoming) => {
    await ask.readAfter;
    for await (const piece of incoming as AsyncIterable<Buffer>) {
      bytes.push(piece);
      pieces.push({ atMs: performance.now() - sentAt, text: piece.toString("utf8") });
    }
    const all = Buffer.concat(bytes);
    return { ...(await head), bytes: all, text: all.toString("utf8"), pieces };
  });
  // Whoever hangs up awaits neither.
  for (const promise of [head, answer]) promise.catch(() => undefined);
  if (Array.isArray(body)) void sendPieces(request, body);
  else request.end(isJson ? JSON.stringify(body) : body);
  return { head, answer, text: () => Buffer.concat(bytes).toString("utf8"), hangUp: () => request.destroy() };
}

/** Sends each piece in a packet of its own, until the other side has heard enough. */
async function sendPieces(request: ClientRequest, pieces: readonly Buffer[]): Promise<void> {
  request.setNoDelay(true);
  for (const piece of pieces) {
    if (request.destroyed) return;
    request.write(piece);
    await nextTurn();
  }
  request.end();
}

/** A whole request and its answer. */
export function fetchRaw(url: string, ask: Ask = {}): Promise<Answer> {
  return exchange(url, ask).answer;
}
