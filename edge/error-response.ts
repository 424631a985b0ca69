// Turns whatever was thrown into a response in OpenAI's shape, with the headers that say whether to try again.
import { HTTPException } from "hono/http-exception";
import { discardBody } from "./body.ts";
import type { EdgeContext } from "./context.ts";
import { ApiError, ERRORS, type ErrorCode } from "./errors.ts";
import { openAiErrorBody } from "./wire/openai-error.ts";

/** Hono's one catcher. */
export async function onError(thrown: unknown, c: EdgeContext): Promise<Response> {
  const error = thrown instanceof HTTPException ? apiErrorOfHttp(thrown) : ApiError.from(thrown);
  c.var.access.fail(error);
  // A worker without its bindings still has to answer.
  await discardBody(c).catch(() => undefined);
  return Response.json(openAiErrorBody(error), { status: ERRORS[error.code].status, headers: headersOf(error, c) });
}

/** For paths that don't exist. */
export function notFound(c: EdgeContext): Promise<Response> {
  return onError(new ApiError("not_found", `There is no ${c.req.method} ${c.req.path} here.`), c);
}

function headersOf(error: ApiError, c: EdgeContext): Record<string, string> {
  const headers: Record<string, string> = {};
  const retry = shouldRetry(error.code, c.req.header("x-stainless-retry-count"));
  headers["x-should-retry"] = String(retry);
  if (error.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.ceil(error.retryAfterMs / 1000));
    headers["retry-after-ms"] = String(Math.ceil(error.retryAfterMs));
  }
  if (error.code === "unauthenticated") headers["www-authenticate"] = "Bearer";
  return headers;
}

/** The SDKs obey `x-should-retry` and count their tries in `x-stainless-retry-count`, from 0. */
function shouldRetry(code: ErrorCode, retryCount: string | undefined): boolean {
  const { retry } = ERRORS[code];
  return retry === "once" ? !(Number(retryCount) > 0) : retry;
}

function apiErrorOfHttp(exception: HTTPException): ApiError {
  const found = Object.entries(ERRORS).find(([, { status }]) => status === exception.status);
  const code = (found?.[0] ?? (exception.status < 500 ? "invalid_request" : "internal")) as ErrorCode;
  return new ApiError(code, undefined, { detail: exception.message, cause: exception });
}
