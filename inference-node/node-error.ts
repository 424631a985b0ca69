// The one error of the inference node: a gRPC status with the details that a caller can act on.

/** gRPC status codes that the node sends, some of them by a script only (https://grpc.io/docs/guides/status-codes/). */
export const Code = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type Code = (typeof Code)[keyof typeof Code];

export interface NodeErrorOptions {
  /** The offending request field, in the contract's snake_case path (`sampling.top_p`). */
  param?: string;
  /** UPPER_SNAKE_CASE cause for google.rpc.ErrorInfo; the code's name when absent. */
  reason?: string;
  /** When to try again; sent as google.rpc.RetryInfo. */
  retryAfterMs?: number;
  /** Further facts for programs, such as both numbers of a context overflow. */
  metadata?: Record<string, string>;
  cause?: unknown;
}

/** A typed failure of a call. Its message is public: it may reach the API's client. */
export class NodeError extends Error {
  override readonly name = "NodeError";
  readonly code: Code;
  readonly param: string | undefined;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  readonly metadata: Record<string, string>;

  constructor(code: Code, message: string, options: NodeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.param = options.param;
    this.reason = options.reason ?? codeName(code);
    this.retryAfterMs = options.retryAfterMs;
    this.metadata = options.metadata ?? {};
  }

  /** Turns anything thrown into a NodeError; what is not one already becomes INTERNAL with a dull public message. */
  static from(thrown: unknown): NodeError {
    if (thrown instanceof NodeError) return thrown;
    return new NodeError(Code.INTERNAL, "The inference node failed unexpectedly.", { cause: thrown });
  }
}

/** The name of a status code, such as "OUT_OF_RANGE". */
export function codeName(code: Code): string {
  for (const [name, value] of Object.entries(Code)) if (value === code) return name;
  return "UNKNOWN";
}

/** Throws INVALID_ARGUMENT for the request field at `param`, which begins the message too. */
export function invalid(param: string, message: string): never {
  throw new NodeError(Code.INVALID_ARGUMENT, `${param} ${message}`, { param });
}
