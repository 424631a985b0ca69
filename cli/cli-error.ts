// The one error of the command-line program: a sentence, an exit code, and what a program needs to know of it.

/** 1: the command failed; 2: it was called wrongly. */
export type ExitCode = 1 | 2;

export interface CliErrorDetails {
  /** Stable name of the failure: the API's `error.code` or `error.type`, else one of ours. */
  readonly code?: string | undefined;
  /** HTTP status, when a server answered. */
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  readonly cause?: unknown;
}

/** A failure whose message is one sentence for the person at the keyboard. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: ExitCode;
  readonly code: string;
  readonly status: number | undefined;
  readonly requestId: string | undefined;

  constructor(message: string, details: CliErrorDetails = {}, exitCode: ExitCode = 1) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.exitCode = exitCode;
    this.code = details.code ?? (exitCode === 2 ? "usage" : "failed");
    this.status = details.status;
    this.requestId = details.requestId;
  }
}

/** The command line itself is wrong. */
export function usageError(message: string): CliError {
  return new CliError(message, {}, 2);
}
