// The access log: one line a request, written when its last byte is, and never with text of a prompt or an answer.
import type { Clock } from "./clock.ts";
import type { EdgeMiddleware } from "./context.ts";
import { type ApiError, ERRORS } from "./errors.ts";
import { log } from "./log.ts";

/** Longer ones are cut: a log line is bounded. */
const TEXT_CHARACTERS_MAX = 256;
/** Room for a stack. */
const DETAIL_CHARACTERS_MAX = 4096;
const CANCELED_STATUS = ERRORS.canceled.status;

/** What is learnt of a request on its way. Token counts are the node's. */
export interface AccessFacts {
  keyId?: string;
  keyPrefix?: string;
  projectId?: string;
  model?: string;
  stream?: boolean;
  queuePosition?: number;
  ttftMs?: number;
  promptTokens?: number;
  cachedTokens?: number;
  completionTokens?: number;
  reasoningTokens?: number;
  finishReason?: string;
}

/** One request's line in the making. */
export class AccessRecord {
  readonly facts: AccessFacts = {};
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #request: Record<string, unknown>;
  #error: ApiError | undefined;
  #deferred = false;
  #ended = false;

  constructor(clock: Clock, request: Record<string, unknown>) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#request = request;
  }

  /** Milliseconds since the request came. */
  elapsedMs(): number {
    return this.#clock.now() - this.#startedAt;
  }

  /** Notes what went wrong; the last word counts. */
  fail(error: ApiError): void {
    this.#error = error;
  }

  /** The body goes on after the handler returned: whoever writes it calls `end`. */
  defer(): void {
    this.#deferred = true;
  }

  get deferred(): boolean {
    return this.#deferred;
  }

  /** Writes the line; only the first call does. A canceled request is logged as 499 whatever was sent. */
  end(status: number): void {
    if (this.#ended) return;
    this.#ended = true;
    const error = this.#error;
    const { facts } = this;
    log(error?.code === "internal" ? "error" : "info", this.#clock.now(), "request", {
      ...this.#request,
      status: error?.code === "canceled" ? CANCELED_STATUS : status,
      duration_ms: this.elapsedMs(),
      key_id: facts.keyId,
      key_prefix: facts.keyPrefix,
      project_id: facts.projectId,
      model: cut(facts.model),
      stream: facts.stream,
      queue_position: facts.queuePosition,
      ttft_ms: facts.ttftMs,
      prompt_tokens: facts.promptTokens,
      cached_tokens: facts.cachedTokens,
      completion_tokens: facts.completionTokens,
      reasoning_tokens: facts.reasoningTokens,
      finish_reason: facts.finishReason,
      error: error?.code,
      error_param: cut(error?.param),
      error_detail: cut(error?.detail, DETAIL_CHARACTERS_MAX),
    });
  }
}

/** Logs every request when it ends; for a stream that is after its last event. */
export function accessLog(clock: Clock): EdgeMiddleware {
  return async function accessLog(c, next) {
    const access = new AccessRecord(clock, {
      request_id: c.var.requestId,
      client_request_id: cut(c.req.header("x-client-request-id")),
      method: c.req.method,
      path: cut(c.req.path),
    });
    c.set("access", access);
    await next();
    if (!access.deferred) access.end(c.res.status);
  };
}

function cut(text: string | undefined, max = TEXT_CHARACTERS_MAX): string | undefined {
  return text === undefined || text.length <= max ? text : `${text.slice(0, max)}…`;
}
