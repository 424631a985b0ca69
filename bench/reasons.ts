// Why a request failed, in a few words.
import { HttpStatusError } from "./http-client.ts";

const socketReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  ENOTFOUND: "unknown host",
  EAI_AGAIN: "unknown host",
  ETIMEDOUT: "timed out",
  EHOSTUNREACH: "no route to the host",
};

/** One short reason; equal failures get equal ones, so that they can be counted. */
export function reasonOf(error: unknown): string {
  if (error instanceof HttpStatusError) return `HTTP ${error.status}: ${error.message}`;
  const code = codeOf(error);
  if (code !== undefined) return socketReasons[code] ?? code;
  return error instanceof Error ? error.message : String(error);
}

/** The system's code of a failed connection; of the first when several addresses were tried. */
export function codeOf(error: unknown): string | undefined {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const code = (first as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
