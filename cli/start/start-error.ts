// The failure that `npm start` tells in one sentence, without a stack.

/** Something that the user can mend; `message` is a whole sentence that says what and how. */
export class StartError extends Error {
  override name = "StartError";
}

const REASONS: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  ENOTDIR: "a file lies where a folder must be",
  EEXIST: "a file lies where a folder must be",
};

/** Why a program says that it cannot write; undefined when its last lines tell of nothing of that kind. */
export function reasonIn(lines: string[]): string | undefined {
  const text = lines.join("\n");
  if (/ENOSPC|SQLITE_FULL|no space left/i.test(text)) return REASONS.ENOSPC;
  if (/EROFS|read-only file system/i.test(text)) return REASONS.EROFS;
  return undefined;
}

/** The sentence for any failure; for the file system's errors it names the path and the way out. */
export function sentenceOf(error: unknown): string {
  if (error instanceof StartError) return error.message;
  const { code, path, message } = error as { code?: string; path?: string; message?: string };
  const reason = code === undefined ? undefined : REASONS[code];
  if (reason !== undefined) {
    return `${path ?? "The state folder"} cannot be written, since ${reason}: mend that, or choose another folder with --state DIR.`;
  }
  return `Starting failed: ${message ?? String(error)}.`;
}
