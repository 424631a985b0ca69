// POST /v1/chat/completions: OpenAI's chat, streamed or whole.

import { tenantOf } from "../auth.ts";
import { readJsonObject } from "../body.ts";
import type { EdgeContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import { Generation } from "../generate.ts";
import { setIgnored } from "../ignored.ts";
import { respondStream } from "../sse.ts";
import { respondUnary } from "../unary.ts";
import { readChatCompletion } from "../wire/openai-chat.ts";

export async function chatCompletions(c: EdgeContext): Promise<Response> {
  const { clock, nodes, requestTimeoutMs } = c.var.services();
  const { access, principal, requestId } = c.var;
  if (principal.kind !== "api") throw new ApiError("permission_denied");
  const raw = await readJsonObject(c);
  const { projectId } = principal;
  const call = readChatCompletion(raw, { requestId, now: clock.now(), projectId, tenant: tenantOf(principal) });
  access.facts.model = call.request.model;
  access.facts.stream = call.stream;
  setIgnored(c, call.ignored);
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
