// One gRPC-Web call over fetch, as batches of messages: what arrived together is handed on together.
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { StatusSchema } from "../proto/gen/google/rpc/status_pb.js";

/** gRPC status codes that this client gives itself. */
const UNKNOWN = 2;
const INTERNAL = 13;
const UNAVAILABLE = 14;

const COMPRESSED = 0x01;
const TRAILER = 0x80;
const HEADER_BYTES = 5;

/** The status of a call that did not end with OK. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly status: number;
  readonly details: readonly Any[];

  constructor(status: number, message: string, details: readonly Any[] = [], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.details = details;
  }
}

export interface GrpcWebCall {
  /** Sends the request: the global fetch, or a binding's. */
  fetch: typeof fetch;
  /** Origin and path prefix of the service, without a slash at the end. */
  baseUrl: string;
  headers: Record<string, string>;
  /** The deadline told to the server; 0 for none. The caller's own timer is `signal`. */
  timeoutMs: number;
  /** Ends the call; its reason is thrown. */
  signal: AbortSignal;
  /** A larger message fails the call. */
  messageBytesMax: number;
}

/**
 * Calls a unary or server-streaming method.
 *
 * Yields the messages of each piece of the response as it arrives. Throws a GrpcError for a status other than OK and
 * for a connection that broke (UNAVAILABLE), or the signal's reason. Protocol:
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
 */
export async function* callGrpcWeb<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { input: I; output: O },
  request: MessageShape<I>,
  call: GrpcWebCall,
): AsyncGenerator<MessageShape<O>[], void, undefined> {
  try {
    const response = await send(method, toBinary(method.input, request), call);
    yield* messagesOf(method.output, response, call);
  } catch (error) {
    // However an ended call shows, the reason for ending it is the news.
    throw call.signal.aborted ? call.signal.reason : error;
  }
}

async function* messagesOf<O extends DescMessage>(
  schema: O,
  response: Response,
  { signal, messageBytesMax }: GrpcWebCall,
): AsyncGenerator<MessageShape<O>[], void, undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) throw new GrpcError(UNAVAILABLE, "The response has no body.");
  const frames = new FrameReader(messageBytesMax);
  const stop = (): void => void reader.cancel().catch(() => undefined);
  // Not every fetch lets go of a body whose signal aborts.
  signal.addEventListener("abort", stop, { once: true });
  let ended = false;
  try {
    while (!ended) {
      const piece = await connected(reader.read());
      if (piece.done) throw new GrpcError(UNAVAILABLE, "The response ended without a status.");
      const messages: MessageShape<O>[] = [];
      let trailer: Headers | undefined;
      for (const frame of frames.push(piece.value)) {
        if (frame.flags & TRAILER) trailer = parseTrailer(frame.payload);
        else messages.push(fromBinary(schema, frame.payload));
      }
      if (messages.length > 0) yield messages;
      if (trailer !== undefined) {
        ended = true;
        throwStatus(trailer);
      }
    }
  } finally {
    signal.removeEventListener("abort", stop);
    // The server keeps generating until the connection goes: never leave it to the garbage collector.
    if (!ended) stop();
  }
}

async function send(method: DescMethod, message: Uint8Array, call: GrpcWebCall): Promise<Response> {
  const body = new Uint8Array(HEADER_BYTES + message.byteLength);
  new DataView(body.buffer).setUint32(1, message.byteLength);
  body.set(message, HEADER_BYTES);
  const headers: Record<string, string> = {
    ...call.headers,
    "content-type": "application/grpc-web+proto",
    accept: "application/grpc-web+proto",
    "x-grpc-web": "1",
  };
  if (call.timeoutMs > 0) headers["grpc-timeout"] = `${Math.min(Math.ceil(call.timeoutMs), 99_999_999)}m`;
  const url = `${call.baseUrl}/${method.parent.typeName}/${method.name}`;
  const response = await connected(
    call.fetch(url, { method: "POST", headers, body, signal: call.signal, redirect: "manual" }),
  );
  try {
    if (response.status !== 200) throw statusOfHttp(response.status);
    // A response that is only trailers has its status among the headers.
    if (response.headers.has("grpc-status")) throwStatus(response.headers);
  } catch (error) {
    response.body?.cancel().catch(() => undefined);
    throw error;
  }
  return response;
}

/** Awaits I/O, whose failures are broken connections. */
async function connected<T>(io: Promise<T>): Promise<T> {
  try {
    return await io;
  } catch (error) {
    throw new GrpcError(UNAVAILABLE, "The connection to the node was lost.", [], error);
  }
}

/** What a proxy's own answer means: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
function statusOfHttp(status: number): GrpcError {
  const busy = status === 429 || status === 502 || status === 503 || status === 504;
  return new GrpcError(busy ? UNAVAILABLE : INTERNAL, `The node's door answered with HTTP ${status}.`);
}

function throwStatus(trailer: Headers): void {
  const status = statusOf(trailer.get("grpc-status"));
  if (status === 0) return;
  const details = detailsOf(trailer.get("grpc-status-details-bin"));
  throw new GrpcError(status, percentDecoded(trailer.get("grpc-message")), details);
}

/** Anything but digits is UNKNOWN, as a missing status is: an empty text would count as 0, success. */
function statusOf(text: string | null): number {
  return text !== null && /^\d+$/.test(text) ? Number(text) : UNKNOWN;
}

/** Details that cannot be read say nothing; the status and its words still do. */
function detailsOf(packed: string | null): readonly Any[] {
  if (packed === null) return [];
  try {
    return fromBinary(StatusSchema, bytesOfBase64(packed)).details;
  } catch {
    return [];
  }
}

function parseTrailer(payload: Uint8Array): Headers {
  const headers = new Headers();
  for (const line of new TextDecoder().decode(payload).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    try {
      headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    } catch {
      // A line that is no header must not hide the status beside it.
    }
  }
  return headers;
}

function percentDecoded(text: string | null): string {
  if (text === null) return "";
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function bytesOfBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

interface Frame {
  flags: number;
  payload: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** Cuts bytes into length-prefixed frames, keeping what is incomplete for the next piece. */
class FrameReader {
  readonly #payloadBytesMax: number;
  /** Begins with the bytes of a frame that is not whole yet; has room for more when the frame came in many pieces. */
  #held: Uint8Array = NO_BYTES;
  #heldBytes = 0;
  /** Size of the frame that comes, once its header is there; before, that of a header. */
  #frameBytes = HEADER_BYTES;

  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** The frames that are whole now. A trailer is the last: it ends the call, whatever follows. */
  push(piece: Uint8Array): Frame[] {
    const bytes = this.#heldBytes === 0 ? piece : this.#hold(piece);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.byteLength - at >= this.#frameBytes) {
      const flags = view.getUint8(at);
      const length = view.getUint32(at + 1);
      if (flags & COMPRESSED) throw new GrpcError(INTERNAL, "The node compressed a message unasked.");
      if (length > this.#payloadBytesMax) throw new GrpcError(INTERNAL, `The node sent a message of ${length} bytes.`);
      this.#frameBytes = HEADER_BYTES + length;
      if (bytes.byteLength - at < this.#frameBytes) break;
      frames.push({ flags, payload: bytes.subarray(at + HEADER_BYTES, at + this.#frameBytes) });
      at += this.#frameBytes;
      this.#frameBytes = HEADER_BYTES;
      if (flags & TRAILER) break;
    }
    if (at > 0 || this.#heldBytes === 0) this.#keep(bytes, at);
    return frames;
  }

  /** Without room beside it: messages may share the memory of `bytes`, so none of it is written again. */
  #keep(bytes: Uint8Array, from: number): void {
    this.#held = from === bytes.byteLength ? NO_BYTES : bytes.subarray(from);
    this.#heldBytes = this.#held.byteLength;
  }

  /** Adds to what is held. Room doubles, up to the frame's size: a frame in many pieces is copied a few times at most. */
  #hold(piece: Uint8Array): Uint8Array {
    const total = this.#heldBytes + piece.byteLength;
    if (total > this.#held.byteLength) {
      const roomy = new Uint8Array(Math.max(total, Math.min(2 * total, this.#frameBytes)));
      roomy.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = roomy;
    }
    this.#held.set(piece, this.#heldBytes);
    this.#heldBytes = total;
    return this.#held.subarray(0, total);
  }
}
