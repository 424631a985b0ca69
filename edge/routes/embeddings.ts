// POST /v1/embeddings: OpenAI's vectors of texts and token ids.
import { tenantOf } from "../auth.ts";
import { readJsonObject } from "../body.ts";
import type { EdgeContext } from "../context.ts";
import { ApiError } from "../errors.ts";
import { inClientsWords } from "../generate.ts";
import { setIgnored } from "../ignored.ts";
import { respondLate } from "../unary.ts";
import { readEmbeddings } from "../wire/openai-embeddings.ts";
import { openAiErrorBody } from "../wire/openai-error.ts";

/** A refusal comes sooner: every input is read before the first is computed. After that the head goes out, and spaces. */
const COMMIT_AFTER_MS = 10_000;

export async function embeddings(c: EdgeContext): Promise<Response> {
  const { clock, nodes, requestTimeoutMs } = c.var.services();
  const { access, principal, requestId } = c.var;
  if (principal.kind !== "api") throw new ApiError("permission_denied");
  const raw = await readJsonObject(c);
  const { projectId } = principal;
  const call = readEmbeddings(raw, { requestId, now: clock.now(), projectId, tenant: tenantOf(principal) });
  access.facts.model = call.request.model;
  setIgnored(c, call.ignored);
  const abort = new AbortController();
  const clientSignal = c.req.raw.signal;
  const hangUp = (): void => abort.abort(new ApiError("canceled"));
  if (clientSignal.aborted) throw new ApiError("canceled");
  clientSignal.addEventListener("abort", hangUp, { once: true });
  const answered = nodes
    .embed(call.request, { signal: abort.signal, timeoutMs: requestTimeoutMs })
    .then((response) => {
      access.facts.promptTokens = response.promptTokens;
      return { body: call.body(response) };
    })
    .catch((thrown: unknown) => {
      throw inClientsWords(ApiError.from(thrown), call.paramOf);
    })
    .finally(() => clientSignal.removeEventListener("abort", hangUp));
  const slow = Promise.withResolvers<"slow">();
  const cancelTimer = clock.after(COMMIT_AFTER_MS, () => slow.resolve("slow"));
  try {
    const first = await Promise.race([answered, slow.promise]);
    if (first !== "slow") return new Response(first.body, { headers: { "content-type": "application/json" } });
  } finally {
    cancelTimer();
  }
  const failure = (error: ApiError): string => JSON.stringify(openAiErrorBody(error));
  return respondLate({ cancel: hangUp }, { failure }, answered, { clock, access, clientSignal });
}
