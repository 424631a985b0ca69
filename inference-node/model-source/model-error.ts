// The one error of model sources: a clear reason, and what the operator can do about it.

/** The closed set of ways in which a model can't be had. */
export type ModelErrorCode =
  | "invalid_reference"
  | "unknown_model"
  | "file_not_found"
  | "is_a_directory"
  | "not_a_gguf"
  | "no_python"
  | "no_pip"
  | "no_network"
  | "offline"
  | "hub_not_found"
  | "hub_unauthorized"
  | "hub_failed"
  | "package_failed"
  | "checksum_mismatch"
  | "no_space"
  | "permission_denied"
  | "busy"
  | "aborted"
  | "io_failed";

/** A failure whose message is one sentence for the operator: the reason, a semicolon, the remedy. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  readonly code: ModelErrorCode;
  /** What happened, as a clause without a full stop. */
  readonly reason: string;
  /** What to do, as a clause without a full stop. */
  readonly remedy: string;

  constructor(code: ModelErrorCode, reason: string, remedy: string, cause?: unknown) {
    super(`${capitalized(reason)}; ${remedy}.`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.reason = reason;
    this.remedy = remedy;
  }
}

/** A clause as the beginning of a sentence; a model's name or a path at its head stays as it is. */
export function capitalized(clause: string): string {
  return /^(?:the|no|there|what|pip)\b/.test(clause) ? clause.charAt(0).toUpperCase() + clause.slice(1) : clause;
}

/** The system's error code ("ENOSPC") of anything thrown, also when it lies deeper in the chain of causes. */
export function systemCode(thrown: unknown): string | undefined {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 8; error = error.cause, depth++) {
    if ("code" in error && typeof error.code === "string") return error.code;
  }
  return undefined;
}

/** Turns a failed file operation on `path` into a ModelError; a ModelError passes through as it is. */
export function explainIo(thrown: unknown, path: string): ModelError {
  if (thrown instanceof ModelError) return thrown;
  switch (systemCode(thrown)) {
    case "ENOSPC":
    case "EDQUOT":
      return noSpace(path, thrown);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new ModelError(
        "permission_denied",
        `${path} can't be read or written: permission denied`,
        "give this user the right to it, or set XDG_CACHE_HOME to a folder that this user may write",
        thrown,
      );
    case "ENOTDIR":
    case "EEXIST":
      return new ModelError(
        "io_failed",
        `${path} can't be made: a file stands where a folder is needed`,
        "move that file away, or set XDG_CACHE_HOME to another folder",
        thrown,
      );
    case "ABORT_ERR":
      return aborted(thrown);
  }
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new ModelError(
    "io_failed",
    `${path} can't be read or written (${detail})`,
    "check the disk, then try again",
    thrown,
  );
}

/** The disk is full, or too full for what is to come. `need` says how much, when that is known. */
export function noSpace(path: string, cause?: unknown, need?: string): ModelError {
  return new ModelError(
    "no_space",
    need === undefined ? `the disk that holds ${path} is full` : `the disk that holds ${path} is too full: ${need}`,
    "free some space, or set XDG_CACHE_HOME to a folder on a larger disk",
    cause,
  );
}

/** The caller gave up. */
export function aborted(cause?: unknown): ModelError {
  return new ModelError("aborted", "the download was stopped", "start it again to go on where it stopped", cause);
}
