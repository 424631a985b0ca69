// What every request carries through the edge, as Hono types it.
import type { Context, MiddlewareHandler } from "hono";
import type { AccessRecord } from "./access-log.ts";
import type { Principal } from "./auth.ts";
import type { Bindings, Services } from "./env.ts";

export interface EdgeEnv {
  Bindings: Bindings;
  Variables: {
    /** Ours: `req_` and a ULID. */
    requestId: string;
    access: AccessRecord;
    /** Set by the authenticating middleware; absent on open routes. */
    principal: Principal;
    /** Built on first use, so that a misconfigured worker still says it lives. */
    services: () => Services;
  };
}

export type EdgeContext = Context<EdgeEnv>;
export type EdgeMiddleware = MiddlewareHandler<EdgeEnv>;
