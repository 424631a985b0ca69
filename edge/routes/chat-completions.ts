// POST /v1/chat/completions: OpenAI's chat, streamed or whole.

import { tenantOf } from "../auth.ts";
import { readJsonObject } from "../body.ts";
import type { EdgeContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import { Generation } from "../generate.ts";
import { respondStream } from "../sse.ts";
import { respondUnary } from "../unary.ts";
import type { DialectCall } from "../wire/dialect.ts";
import { readChatCompletion } from "../wire/openai-chat.ts";

/** A header is bounded: longer lists and longer names are cut. */
const IGNORED_NAMES_MAX = 32;
const IGNORED_NAME_CHARACTERS_MAX = 64;

export async function chatCompletions(c: EdgeContext): Promise<Response> {
  const { clock, nodes, requestTimeoutMs } = c.var.services();
  const { access, principal, requestId } = c.var;
  if (principal.kind !== "api") throw new ApiError("permission_denied");
  const raw = await readJsonObject(c);
  const { projectId } = principal;
  const call = readChatCompletion(raw, { requestId, now: clock.now(), projectId, tenant: tenantOf(principal) });
  access.facts.model = call.request.model;
  access.facts.stream = call.stream;
  setIgnored(c, call);
  const clientSignal = c.req.raw.signal;
  const generation = await Generation.start(call.request, {
    nodes,
    clock,
    access,
    timeoutMs: requestTimeoutMs,
    clientSignal,
    traceparent: c.req.header("traceparent"),
    paramOf: call.paramOf,
  });
  const options = { clock, access, clientSignal };
  return call.stream
    ? respondStream(generation, call.streamWriter(), options)
    : respondUnary(generation, call.bodyWriter(), options);
}

function setIgnored(c: EdgeContext, call: DialectCall): void {
  if (call.ignored.length === 0) return;
  // Names come from the client: what no header may hold is encoded.
  const names = call.ignored
    .slice(0, IGNORED_NAMES_MAX)
    .map((name) => encodeURIComponent(name.slice(0, IGNORED_NAME_CHARACTERS_MAX).toWellFormed()));
  c.header("x-sluice-ignored", names.join(", "));
}
