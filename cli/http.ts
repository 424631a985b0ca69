// Speaks to a Sluice server over HTTP and turns every failure into one sentence.
import { CliError } from "./cli-error.ts";
import type { Connection } from "./config.ts";
import { printable } from "./output.ts";

const TIMEOUT_MS = 30_000;
const BODY_CHARS_MAX = 8 * 1024 * 1024;

export interface ApiRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** With its leading slash, percent-encoded. */
  readonly path: string;
  /** Which key the route takes. */
  readonly key: "admin" | "api";
  readonly body?: unknown;
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

/** Sends one request; resolves to the JSON object of a 2xx answer. Rejects with a CliError. */
export async function callApi(connection: Connection, request: ApiRequest): Promise<Record<string, unknown>> {
  const url = baseUrl(connection);
  const key = request.key === "admin" ? connection.adminKey : connection.apiKey;
  if (key === undefined) throw missingKey(request.key);
  const response = await send(`${url}${request.path}`, key, request);
  const text = await readText(response, url, request.signal);
  const body = parseObject(text);
  const requestId = response.headers.get("x-request-id") ?? undefined;
  if (response.ok && body !== undefined) return body;
  throw explain(response, body, requestId, url);
}

/** The server's address without the `/v1` that SDKs want in theirs. */
function baseUrl({ url }: Connection): string {
  if (url === undefined) {
    throw new CliError("No server is named: start one with `npm start`, or name one with --url or SLUICE_URL.", {
      code: "no_server",
    });
  }
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["http:", "https:"].includes(parsed.protocol)) {
    throw new CliError(`"${printable(url)}" is no http or https URL.`, { code: "usage" }, 2);
  }
  return `${parsed.origin}${parsed.pathname}`.replace(/\/+$/, "").replace(/\/v1$/, "");
}

function missingKey(which: ApiRequest["key"]): CliError {
  const [flag, variable] = which === "admin" ? ["--admin-key", "SLUICE_ADMIN_KEY"] : ["--api-key", "SLUICE_API_KEY"];
  return new CliError(
    `This needs the ${which === "admin" ? "admin" : "API"} key: give it with ${flag} or ${variable} (\`npm start\` prints it).`,
    { code: "no_key" },
  );
}

async function send(url: string, key: string, request: ApiRequest): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  const init: RequestInit = { method: request.method, headers, redirect: "manual" };
  try {
    // A key with a line break or the like can't be a header: fetch says so by a TypeError of its own.
    new Headers({ authorization: `Bearer ${key}` });
  } catch (error) {
    throw new CliError("The key holds characters that no key has.", { code: "usage", cause: error }, 2);
  }
  headers.authorization = `Bearer ${key}`;
  if (request.body !== undefined) {
    headers["content-type"] = "application/json";
    init.body = JSON.stringify(request.body);
  }
  try {
    const timeout = AbortSignal.timeout(request.timeoutMs ?? TIMEOUT_MS);
    return await fetch(url, { ...init, signal: AbortSignal.any([timeout, request.signal]) });
  } catch (error) {
    if (request.signal.aborted) throw new CliError("Stopped.", { code: "canceled" });
    throw unreachable(url, error);
  }
}

async function readText(response: Response, url: string, signal: AbortSignal): Promise<string> {
  try {
    const text = await response.text();
    if (text.length <= BODY_CHARS_MAX) return text;
  } catch (error) {
    if (signal.aborted) throw new CliError("Stopped.", { code: "canceled" });
    throw unreachable(url, error);
  }
  throw new CliError(`The server at ${url} sent more than any answer of Sluice has.`, { code: "bad_answer" });
}

function unreachable(url: string, error: unknown): CliError {
  const { origin } = new URL(url);
  if (error instanceof Error && error.name === "TimeoutError") {
    return new CliError(`The server at ${origin} does not answer in time.`, { code: "timeout", cause: error });
  }
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  const why = code === undefined || code === "ECONNREFUSED" ? "" : ` (${code})`;
  return new CliError(
    `No server answers at ${origin}${why}: start one with \`npm start\`, or name another with --url or SLUICE_URL.`,
    { code: "no_server", cause: error },
  );
}

function explain(
  response: Response,
  body: Record<string, unknown> | undefined,
  requestId: string | undefined,
  url: string,
): CliError {
  const { status } = response;
  const known = parseError(body);
  const suffix = requestId === undefined ? "" : ` (request ${printable(requestId)})`;
  const details = { code: known?.code ?? `http_${status}`, status, requestId };
  if (known !== undefined) return new CliError(`${printable(known.message)}${suffix}`, details);
  const location = response.headers.get("location");
  if (location !== null && status >= 300 && status < 400) {
    return new CliError(`The server redirects to ${printable(location)}: name that one with --url.${suffix}`, details);
  }
  return new CliError(
    `What answers at ${url} is no Sluice server, or one behind a proxy that fails: HTTP ${status}.${suffix}`,
    { ...details, code: response.ok ? "bad_answer" : details.code },
  );
}

function parseError(body: Record<string, unknown> | undefined): { message: string; code: string } | undefined {
  const error = body?.error;
  if (typeof error !== "object" || error === null || !("message" in error)) return undefined;
  const { message, code, type } = error as Record<string, unknown>;
  if (typeof message !== "string" || message === "") return undefined;
  const name = [code, type].find((value) => typeof value === "string" && value !== "");
  return { message, code: typeof name === "string" ? name : "failed" };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
