// What the web door answers besides gRPC: probes, and metrics with the secret.
import { NodeError } from "../node-error.ts";
import type { Authenticate } from "./secret.ts";

export interface PlainOptions {
  authenticate: Authenticate;
  /** Prometheus text. */
  metrics: () => string;
  /** Whether new work is taken. */
  serving: () => boolean;
}

export interface PlainAnswer {
  status: number;
  body: string;
  headers: Record<string, string>;
}

/** `/healthz`: the process lives. `/readyz`: it takes work. `/metrics`: Prometheus text. */
export function plainAnswer(
  options: PlainOptions,
  method: string | undefined,
  url: string | undefined,
  authorization: string | undefined,
): PlainAnswer {
  const path = url?.split("?", 1)[0];
  if (path !== "/healthz" && path !== "/readyz" && path !== "/metrics") return text(404, "not found");
  if (method !== "GET" && method !== "HEAD") return text(405, "method not allowed", { allow: "GET, HEAD" });
  if (path === "/healthz") return text(200, "ok");
  if (path === "/readyz") return options.serving() ? text(200, "ok") : text(503, "not serving");
  try {
    options.authenticate(authorization);
  } catch (thrown) {
    return text(401, NodeError.from(thrown).message, { "www-authenticate": "Bearer" });
  }
  const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
  return { status: 200, body: options.metrics(), headers };
}

function text(status: number, line: string, headers: Record<string, string> = {}): PlainAnswer {
  return { status, body: `${line}\n`, headers: { "content-type": "text/plain; charset=utf-8", ...headers } };
}
