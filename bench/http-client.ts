// Speaks to an OpenAI-compatible server with as little work per chunk as Node allows: the client shares the server's cores.
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { SseParser } from "./sse.ts";
import { BenchError, type ChatEnd } from "./target.ts";

/** Longest body that is read of an answer that is no stream, in bytes. */
const bodyBytesMax = 4 << 20;

export interface Connection {
  /** Base URL as OpenAI's SDKs take it, without a trailing slash: `http://127.0.0.1:8787/v1`. */
  readonly baseUrl: string;
  readonly key: string | undefined;
  /** Milliseconds that one request may take from first to last byte. */
  readonly timeoutMs: number;
}

/** An answer other than 2xx. */
export class HttpStatusError extends Error {
  override readonly name = "HttpStatusError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** One server; keeps its connections open between requests. */
export class HttpClient {
  readonly #connection: Connection;
  readonly #agent: HttpAgent;
  readonly #send: typeof httpRequest;

  constructor(connection: Connection) {
    this.#connection = connection;
    const secure = new URL(connection.baseUrl).protocol === "https:";
    this.#agent = secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
    this.#send = secure ? httpsRequest : httpRequest;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** GETs a JSON document. Throws an HttpStatusError, or the socket's error. */
  async getJson(path: string, signal: AbortSignal): Promise<unknown> {
    const { status, body } = await withDeadline(this.#connection.timeoutMs, signal, async (limited) => {
      const response = await this.#exchange("GET", path, undefined, limited);
      const text = await readBody(response);
      if (!isSuccess(response)) throw statusError(response, text);
      return { status: response.statusCode, body: text };
    });
    try {
      return JSON.parse(body);
    } catch {
      throw new BenchError(`${path} answers ${status} but not with JSON`);
    }
  }

  /**
   * POSTs a body (JSON text) and reads the answer as a stream of events; `onText` is called when a chunk with text came, with
   * the part of it that is content.
   * Throws an HttpStatusError, a BenchError when the stream breaks its own rules, or the socket's error.
   */
  stream(path: string, body: string, onText: (content: string) => void, signal: AbortSignal): Promise<ChatEnd> {
    return withDeadline(this.#connection.timeoutMs, signal, async (limited) => {
      const response = await this.#exchange("POST", path, body, limited);
      if (!isSuccess(response)) throw statusError(response, await readBody(response));
      const type = response.headers["content-type"] ?? "no content type";
      if (!type.startsWith("text/event-stream")) {
        response.destroy();
        throw new BenchError(`asked for a stream, got ${type}`);
      }
      const reader = new ChunkReader(onText);
      await readEvents(response, (data) => reader.event(data), limited);
      return reader.end();
    });
  }

  async #exchange(
    method: string,
    path: string,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const headers: Record<string, string> = { accept: body === undefined ? "application/json" : "text/event-stream" };
    if (this.#connection.key !== undefined) headers.authorization = `Bearer ${this.#connection.key}`;
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      headers["content-length"] = String(Buffer.byteLength(body));
    }
    const url = new URL(this.#connection.baseUrl + path);
    const options = { method, headers, agent: this.#agent, signal };
    const attempt = (mayRetry: boolean): Promise<IncomingMessage> =>
      new Promise((resolve, reject) => {
        let answered = false;
        const request = this.#send(url, options);
        request.on("response", (response) => {
          answered = true;
          resolve(response);
        });
        request.on("error", (error: NodeJS.ErrnoException) => {
          // A server may close an idle connection just as we reuse it: that says nothing about the request.
          const stale = !answered && request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
          if (stale && mayRetry && !signal.aborted) resolve(attempt(false));
          else reject(signal.aborted ? signal.reason : error);
        });
        request.end(body);
      });
    return attempt(true);
  }
}

/** Runs `work` with a signal that fires with the outer one or after `timeoutMs`; leaves neither timer nor listener. */
async function withDeadline<T>(
  timeoutMs: number,
  outer: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  outer.throwIfAborted();
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(outer.reason);
  const onTimeout = (): void => controller.abort(new BenchError(`no end within ${timeoutMs / 1000} s (--timeout)`));
  const timer = setTimeout(onTimeout, timeoutMs);
  outer.addEventListener("abort", onAbort, { once: true });
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", onAbort);
  }
}

/** Resolves when the body has ended; rejects with what `onData` throws, the signal's reason or the socket's error. */
function readEvents(response: IncomingMessage, onData: (data: string) => void, signal: AbortSignal): Promise<void> {
  const parser = new SseParser(onData);
  response.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    response.on("data", (text: string) => {
      try {
        parser.push(text);
      } catch (error) {
        reject(error);
        response.destroy();
      }
    });
    response.on("end", resolve);
    response.on("error", (error) => reject(signal.aborted ? signal.reason : error));
  });
}

/** The members of a chat completion chunk that are looked at. */
interface Chunk {
  error?: { message?: unknown } | null;
  choices?: readonly { delta?: Delta | null }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number } | null;
  } | null;
}

interface Delta {
  content?: string | null;
  /** vLLM's and DeepSeek's name for thinking; newer vLLM says `reasoning`. */
  reasoning_content?: string | null;
  reasoning?: string | null;
  tool_calls?: readonly unknown[] | null;
}

class ChunkReader {
  readonly #onText: (content: string) => void;
  #done = false;
  #usage: ChatEnd["usage"];

  constructor(onText: (content: string) => void) {
    this.#onText = onText;
  }

  event(data: string): void {
    if (data === "[DONE]") {
      this.#done = true;
      return;
    }
    const chunk = parseChunk(data);
    if (chunk.error) throw new BenchError(`error event: ${textOf(chunk.error.message) ?? "no message"}`);
    const delta = chunk.choices?.[0]?.delta;
    if (delta?.content || delta?.reasoning_content || delta?.reasoning || delta?.tool_calls?.length) {
      this.#onText(delta.content ?? "");
    }
    const { usage } = chunk;
    if (typeof usage?.completion_tokens === "number") {
      this.#usage = {
        promptTokens: usage.prompt_tokens ?? 0,
        cachedTokens: usage.prompt_tokens_details?.cached_tokens,
        completionTokens: usage.completion_tokens,
      };
    }
  }

  end(): ChatEnd {
    if (!this.#done) throw new BenchError("the stream ended without [DONE]");
    return { usage: this.#usage };
  }
}

function parseChunk(data: string): Chunk {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Told below, as for JSON that is no object.
  }
  throw new BenchError(`an event is no JSON object: ${data.slice(0, 80)}`);
}

function isSuccess(response: IncomingMessage): boolean {
  const status = response.statusCode ?? 0;
  return status >= 200 && status < 300;
}

async function readBody(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    parts.push(part);
    length += part.length;
    if (length > bodyBytesMax) throw new BenchError(`an answer is longer than ${bodyBytesMax} bytes`);
  }
  return Buffer.concat(parts).toString();
}

/** The error with the server's own sentence, when it has OpenAI's shape. */
function statusError(response: IncomingMessage, body: string): HttpStatusError {
  const status = response.statusCode ?? 0;
  const location = response.headers.location;
  if (status >= 300 && status < 400) return new HttpStatusError(status, `redirects to ${location ?? "nowhere"}`);
  let message: string | undefined;
  try {
    message = textOf(JSON.parse(body)?.error?.message);
  } catch {
    // A body that is no JSON is shown as it is.
  }
  return new HttpStatusError(status, message ?? (body.trim().slice(0, 200) || (response.statusMessage ?? "no body")));
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
