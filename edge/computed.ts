// Answers with what a node computes in one piece, such as vectors or scores: late under an early head when it takes long.
import { tenantOf } from "./auth.ts";
import { readJsonObject } from "./body.ts";
import type { EdgeContext } from "./context.ts";
import { ApiError } from "./errors.ts";
import { inClientsWords } from "./generate.ts";
import { setIgnored } from "./ignored.ts";
import type { NodeCallOptions } from "./node-pool.ts";
import { respondLate } from "./unary.ts";
import type { CallContext } from "./wire/dialect.ts";
import { openAiErrorBody } from "./wire/openai-error.ts";

/** A refusal comes sooner: every input is read before the first is computed. After that the head goes out, and spaces. */
const COMMIT_AFTER_MS = 10_000;

/** A request that was read. */
interface ComputedCall<Request, Response> {
  readonly request: Request;
  /** Names of parameters that no API has; they were accepted and did nothing. */
  readonly ignored: readonly string[];
  /** The client's name for a field of the contract. */
  paramOf(contractPath: string): string | undefined;
  /** The whole body. */
  body(response: Response): string;
}

/** Reads the body, asks the node and answers. Rejects with ApiErrors, their `param` in the client's words. */
export async function respondComputed<Request extends { model: string }, Response extends { promptTokens: number }>(
  c: EdgeContext,
  read: (raw: Record<string, unknown>, context: CallContext) => ComputedCall<Request, Response>,
  ask: (request: Request, options: NodeCallOptions) => Promise<Response>,
): Promise<globalThis.Response> {
  const { clock, requestTimeoutMs } = c.var.services();
  const { access, principal, requestId } = c.var;
  if (principal.kind !== "api") throw new ApiError("permission_denied");
  const raw = await readJsonObject(c);
  const { projectId } = principal;
  const call = read(raw, { requestId, now: clock.now(), projectId, tenant: tenantOf(principal) });
  access.facts.model = call.request.model;
  setIgnored(c, call.ignored);
  const abort = new AbortController();
  const clientSignal = c.req.raw.signal;
  const hangUp = (): void => abort.abort(new ApiError("canceled"));
  if (clientSignal.aborted) throw new ApiError("canceled");
  clientSignal.addEventListener("abort", hangUp, { once: true });
  const answered = ask(call.request, { signal: abort.signal, timeoutMs: requestTimeoutMs })
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
    if (first !== "slow") {
      return new globalThis.Response(first.body, { headers: { "content-type": "application/json" } });
    }
  } finally {
    cancelTimer();
  }
  const failure = (error: ApiError): string => JSON.stringify(openAiErrorBody(error));
  return respondLate({ cancel: hangUp }, { failure }, answered, { clock, access, clientSignal });
}
