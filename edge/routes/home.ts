// GET /: a page that says hello to a browser, JSON to everything else.
import type { EdgeContext } from "../context.ts";
import { welcomePage } from "../web/welcome.ts";

export function home(c: EdgeContext): Response | Promise<Response> {
  c.header("vary", "accept", { append: true });
  if (!acceptsHtml(c.req.header("accept"))) {
    return c.json({ name: "sluice", api: "/v1", models: "/v1/models", health: "/healthz", ready: "/readyz" });
  }
  c.header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
  return c.html(welcomePage(new URL(c.req.url).origin));
}

/** Browsers name text/html; SDKs and curl send a JSON type or any type. */
function acceptsHtml(accept: string | undefined): boolean {
  return accept !== undefined && /(^|[,\s])text\/html\b/i.test(accept);
}
