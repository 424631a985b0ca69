// Fetches the model before anything waits for it, by the node's own command, and reads how far it is.
import { join } from "node:path";
import type { ServiceSpec } from "./service.ts";

/** One line that the command prints with --json. */
interface PullLine {
  event?: unknown;
  phase?: unknown;
  done_bytes?: unknown;
  total_bytes?: unknown;
  message?: unknown;
  model?: unknown;
}

/** What one line says: how far it is, a remark for the user, the end, or why there is none. Each in words. */
export interface PullNews {
  progress?: string;
  notice?: string;
  result?: string;
  failure?: string;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_000_000)} MB`;
}

function describeProgress({ phase, done_bytes: done, total_bytes: total }: PullLine): string {
  const word = typeof phase === "string" ? phase : "fetching";
  if (typeof done !== "number" || done === 0) return word;
  if (typeof total !== "number" || total <= 0) return `${word}, ${megabytes(done)}`;
  return `${word}, ${Math.floor((100 * done) / total)} % of ${megabytes(total)}`;
}

function describeModel(model: unknown): string {
  const { id, bytes } = (typeof model === "object" && model !== null ? model : {}) as { id?: unknown; bytes?: unknown };
  return `${String(id)}${typeof bytes === "number" ? `, ${megabytes(bytes)}` : ""}`;
}

/** Reads one line of the command's output; a line that is none of its events tells nothing. */
export function readPullLine(text: string): PullNews {
  let line: PullLine;
  try {
    line = Object(JSON.parse(text)) as PullLine;
  } catch {
    return {};
  }
  if (line.event === "progress") return { progress: describeProgress(line) };
  if (line.event === "result") return { result: describeModel(line.model) };
  if (line.event === "notice" && typeof line.message === "string") return { notice: line.message };
  if (line.event === "error" && typeof line.message === "string") return { failure: line.message };
  return {};
}

/** The command that makes `model` (undefined: the default one) present; a file that is there already is not hashed again. */
export function pullSpec(
  root: string,
  model: string | undefined,
  inherited: Record<string, string | undefined>,
): ServiceSpec {
  const program = join(root, "inference-node", "model-source", "main.ts");
  const reference = model === undefined ? [] : [model];
  return {
    command: process.execPath,
    args: [...process.execArgv, program, "resolve", "--json", "--", ...reference],
    cwd: root,
    env: inherited,
  };
}
