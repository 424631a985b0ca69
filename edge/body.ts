// Reads a JSON request body within bounds: bytes counted as they come, UTF-8 checked, nesting limited.
import type { EdgeContext, EdgeMiddleware } from "./context.ts";
import { ApiError } from "./errors.ts";

/** Deeper documents are refused: what walks them later may recurse. */
const DEPTH_MAX = 200;
/**
 * Of a body over the limit so many times the limit is read and dropped before the refusal: a connection that is closed
 * on a client in mid-upload is reset, and the client then never sees why (RFC 9112, section 9.6).
 */
const DISCARD_FACTOR_MAX = 4;

/** A refused client that sends more slowly than this may miss the answer. */
const DISCARD_MS_MAX = 2000;

/** Refuses a body whose stated length is over the limit before anything of it is kept. */
export const bodyLimit: EdgeMiddleware = async function bodyLimit(c, next) {
  const stated = c.req.header("content-length");
  if (stated !== undefined) {
    const { bodyBytesMax } = c.var.services();
    if (Number(stated) > bodyBytesMax) throw tooLarge(bodyBytesMax);
  }
  await next();
};

/**
 * The request's JSON object.
 *
 * @throws ApiError `unsupported_media_type`, `request_too_large`, or `invalid_request` for what is no JSON object.
 */
export async function readJsonObject(c: EdgeContext): Promise<Record<string, unknown>> {
  checkMediaType(c.req.header("content-type"), c.req.header("content-encoding"));
  const bytes = await readBytes(c.req.raw.body, c.var.services().bodyBytesMax);
  if (bytes.byteLength === 0)
    throw new ApiError("invalid_request", "The request has no body; it must be a JSON object.");
  const value = parse(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ApiError("invalid_request", "The request body must be a JSON object.");
  }
  return value as Record<string, unknown>;
}

/** Takes a body that nobody read off the wire, within bounds, so that a refused client that still sends hears why. */
export async function discardBody(c: EdgeContext): Promise<void> {
  const { body, bodyUsed } = c.req.raw;
  if (body === null || bodyUsed || body.locked) return;
  const { clock, bodyBytesMax } = c.var.services();
  const reader = body.getReader();
  const stop = (): void => void reader.cancel().catch(() => undefined);
  const cancelTimer = clock.after(DISCARD_MS_MAX, stop);
  try {
    let length = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      length += read.value.byteLength;
      if (length > bodyBytesMax * DISCARD_FACTOR_MAX) return stop();
    }
  } catch {
    // The client went away, or the time is over.
  } finally {
    cancelTimer();
  }
}

function checkMediaType(type: string | undefined, encoding: string | undefined): void {
  if (encoding !== undefined && encoding.trim().toLowerCase() !== "identity") {
    throw new ApiError("unsupported_media_type", "The request body must not be compressed.");
  }
  // No type at all is taken for JSON, as vendors do.
  const essence = type?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (essence !== "" && essence !== "application/json" && !/^application\/[\w.-]+\+json$/.test(essence)) {
    throw new ApiError(
      "unsupported_media_type",
      "The request body must be JSON: send `Content-Type: application/json`.",
    );
  }
}

async function readBytes(body: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<Uint8Array> {
  if (body === null) return new Uint8Array(0);
  const reader = body.getReader();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw new ApiError("invalid_request", "The request body broke off or is malformed.", { cause: error });
    });
    if (done) break;
    length += value.byteLength;
    if (length <= bytesMax) pieces.push(value);
    else if (length > bytesMax * DISCARD_FACTOR_MAX) {
      reader.cancel().catch(() => undefined);
      break;
    }
  }
  if (length > bytesMax) throw tooLarge(bytesMax);
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : joined(pieces, length);
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

function parse(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (error) {
    throw new ApiError("invalid_request", "The request body is not valid UTF-8.", { cause: error });
  }
  if (isDeeperThan(text, DEPTH_MAX)) {
    throw new ApiError("invalid_request", `The request body is nested deeper than ${DEPTH_MAX} levels.`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    // The parser's own message quotes the body, which belongs in no log.
    throw new ApiError("invalid_request", "The request body is not valid JSON.", { cause: error });
  }
}

/** Whether brackets outside of strings nest deeper than that. */
function isDeeperThan(text: string, depthMax: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > depthMax) return true;
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
  return false;
}

function tooLarge(bytesMax: number): ApiError {
  return new ApiError("request_too_large", `The request body is over the limit of ${bytesMax} bytes.`);
}
