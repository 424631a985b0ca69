// Gives every request an id of ours and every response its headers: the id, and how long the head took.
import { ulid } from "ulid";
import type { Clock } from "./clock.ts";
import type { EdgeMiddleware } from "./context.ts";

/** Sets `x-request-id` on every response. A client's own id is only logged: it could be anyone's. */
export function requestId(clock: Clock): EdgeMiddleware {
  return async function requestId(c, next) {
    const startedAt = clock.now();
    const id = `req_${ulid(startedAt)}`;
    c.set("requestId", id);
    await next();
    c.res.headers.set("x-request-id", id);
    c.res.headers.set("openai-processing-ms", String(clock.now() - startedAt));
  };
}
