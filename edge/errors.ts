// Every way a request can fail: the closed set of codes and what follows from each, in one table.

interface ErrorRow {
  /** HTTP status of a refusal. */
  readonly status: number;
  /** `error.type` in OpenAI's shape. */
  readonly type: string;
  /** `error.code` in OpenAI's shape; null when the type says it all. */
  readonly openaiCode: string | null;
  /** gRPC status codes of the node that mean this. */
  readonly grpc: readonly number[];
  /** Whether the same request may succeed when sent again; "once" when it is worth one more try only. */
  readonly retry: boolean | "once";
  /** What the public reads when nothing better is known. */
  readonly message: string;
}

/** The error table. gRPC numbers: https://grpc.io/docs/guides/status-codes/ */
export const ERRORS = {
  invalid_request: row(400, "invalid_request_error", null, [3, 9], false, "The request is invalid."),
  context_length_exceeded: row(
    400,
    "invalid_request_error",
    "context_length_exceeded",
    [11],
    false,
    "The prompt and the requested output do not fit the model's context.",
  ),
  unsupported_parameter: row(
    400,
    "invalid_request_error",
    "unsupported_parameter",
    [12],
    false,
    "The request uses a parameter that this model does not support.",
  ),
  unauthenticated: row(401, "invalid_request_error", "invalid_api_key", [], false, "The API key is missing or wrong."),
  insufficient_balance: row(402, "insufficient_quota", null, [], false, "The balance is used up."),
  permission_denied: row(403, "permission_error", null, [], false, "This key may not do that."),
  not_found: row(404, "invalid_request_error", null, [5], false, "There is nothing here."),
  method_not_allowed: row(405, "invalid_request_error", null, [], false, "This path does not take that method."),
  conflict: row(409, "invalid_request_error", "idempotency_conflict", [], false, "The request conflicts with another."),
  request_too_large: row(413, "invalid_request_error", null, [], false, "The request body is too large."),
  unsupported_media_type: row(415, "invalid_request_error", null, [], false, "The request body must be JSON."),
  rate_limited: row(429, "requests", "rate_limit_exceeded", [], true, "Too many requests."),
  canceled: row(499, "invalid_request_error", null, [1, 10], false, "The request was canceled."),
  internal: row(500, "server_error", null, [2, 7, 13, 15, 16], "once", "Something went wrong on our side."),
  overloaded: row(503, "server_error", "overloaded", [8, 14], true, "The service is busy. Try again shortly."),
  deadline_exceeded: row(504, "server_error", "timeout", [4], true, "The request took too long."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ApiErrorOptions {
  /** The request field at fault, as the client wrote it: `messages[0].content`. */
  param?: string | undefined;
  /** For the log only. */
  detail?: string | undefined;
  /** When to try again, in milliseconds. */
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** A failure of a request. `message` is for the public, `detail` for the log; everything else follows from `code`. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly detail: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message?: string, options: ApiErrorOptions = {}) {
    super(message ?? ERRORS[code].message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param;
    this.detail = options.detail;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Turns anything thrown into an ApiError; what is not one already becomes `internal`, dull outside, whole in the log. */
  static from(thrown: unknown): ApiError {
    if (thrown instanceof ApiError) return thrown;
    const detail = thrown instanceof Error ? (thrown.stack ?? String(thrown)) : String(thrown);
    return new ApiError("internal", undefined, { detail, cause: thrown });
  }
}

/** The code that a gRPC status of the node stands for; `internal` for statuses that the contract does not have. */
export function codeOfGrpcStatus(status: number): ErrorCode {
  return CODE_OF_GRPC.get(status) ?? "internal";
}

const CODE_OF_GRPC: ReadonlyMap<number, ErrorCode> = new Map(
  Object.entries<ErrorRow>(ERRORS).flatMap(([code, { grpc }]) =>
    grpc.map((status): [number, ErrorCode] => [status, code as ErrorCode]),
  ),
);

function row(
  status: number,
  type: string,
  openaiCode: string | null,
  grpc: readonly number[],
  retry: boolean | "once",
  message: string,
): ErrorRow {
  return { status, type, openaiCode, grpc, retry, message };
}
