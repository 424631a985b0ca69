// The worker: middleware in order, and the route table.
import { Hono } from "hono";
import { cors } from "hono/cors";
import { secureHeaders } from "hono/secure-headers";
import { accessLog } from "./access-log.ts";
import { requireAdminKey, requireApiKey } from "./auth.ts";
import { bodyLimit } from "./body.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { EdgeContext, EdgeEnv, EdgeMiddleware } from "./context.ts";
import { servicesOf } from "./env.ts";
import { notFound, onError } from "./error-response.ts";
import { ApiError } from "./errors.ts";
import { requestId } from "./request-id.ts";
import { createKey, listKeys, revokeKey } from "./routes/admin-keys.ts";
import { chatCompletions } from "./routes/chat-completions.ts";
import { embeddings } from "./routes/embeddings.ts";
import { healthz, readyz } from "./routes/health.ts";
import { home } from "./routes/home.ts";
import { listModels, retrieveModel } from "./routes/models.ts";
import { rerank } from "./routes/rerank.ts";

type Handler = (c: EdgeContext) => Response | Promise<Response>;

interface Route {
  /** The same resource under each of these. */
  paths: readonly string[];
  /** Who may come in; absent: everybody. */
  guard?: EdgeMiddleware;
  methods: Readonly<Record<string, Handler>>;
}

const ROUTES: readonly Route[] = [
  { paths: ["/"], methods: { GET: home } },
  { paths: ["/healthz"], methods: { GET: healthz } },
  { paths: ["/readyz"], methods: { GET: readyz } },
  {
    paths: ["/v1/chat/completions", "/chat/completions"],
    guard: requireApiKey,
    methods: { POST: chatCompletions },
  },
  { paths: ["/v1/embeddings", "/embeddings"], guard: requireApiKey, methods: { POST: embeddings } },
  { paths: ["/v1/rerank", "/rerank"], guard: requireApiKey, methods: { POST: rerank } },
  { paths: ["/v1/models", "/models"], guard: requireApiKey, methods: { GET: listModels } },
  { paths: ["/v1/models/:id{.+}", "/models/:id{.+}"], guard: requireApiKey, methods: { GET: retrieveModel } },
  { paths: ["/admin/v1/keys"], guard: requireAdminKey, methods: { GET: listKeys, POST: createKey } },
  { paths: ["/admin/v1/keys/:id"], guard: requireAdminKey, methods: { DELETE: revokeKey } },
];

const EXPOSED_HEADERS = [
  "x-request-id",
  "x-sluice-ignored",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "openai-processing-ms",
];

/** The app over a clock; everything else comes with each request's bindings. */
export function createApp(clock: Clock): Hono<EdgeEnv> {
  const app = new Hono<EdgeEnv>({ strict: false });
  app.onError(onError);
  app.notFound(notFound);
  app.use(async function services(c, next) {
    c.set("services", () => servicesOf(c.env, clock));
    await next();
  });
  app.use(requestId(clock));
  app.use(accessLog(clock));
  // Any site's script may read the API (with a key): these must not forbid it.
  app.use(
    secureHeaders({
      crossOriginResourcePolicy: "cross-origin",
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
      xDnsPrefetchControl: false,
      xDownloadOptions: false,
      xPermittedCrossDomainPolicies: false,
      xXssProtection: false,
      xFrameOptions: "DENY",
    }),
  );
  app.use(
    cors({
      origin: "*",
      maxAge: 86_400,
      exposeHeaders: EXPOSED_HEADERS,
      allowMethods: ["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
    }),
  );
  app.use(bodyLimit);
  for (const route of ROUTES) register(app, route);
  return app;
}

function register(app: Hono<EdgeEnv>, { paths, guard, methods }: Route): void {
  const names = Object.keys(methods);
  const allow = [...names, ...(names.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
  for (const path of paths) {
    for (const [method, handler] of Object.entries(methods)) {
      if (guard === undefined) app.on(method, path, handler);
      else app.on(method, path, guard, handler);
    }
    app.all(path, (c) => {
      c.header("allow", allow);
      throw new ApiError("method_not_allowed", `${c.req.path} takes ${allow}, not ${c.req.method}.`);
    });
  }
}

export default createApp(systemClock);
