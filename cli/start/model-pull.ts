// Fetches the model before anything waits for it, by the node's own command, and shows how far it is.
import { join } from "node:path";
import type { ServiceSpec } from "./service.ts";

/** One line that the pull prints with --json. */
interface PullLine {
  event?: unknown;
  phase?: unknown;
  done_bytes?: unknown;
  total_bytes?: unknown;
  message?: unknown;
  path?: unknown;
}

/** What a pull has said: how far it is, in words, or why it failed. */
export interface PullNews {
  progress?: string;
  failure?: string;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_000_000)} MB`;
}

function describeProgress({ phase, done_bytes: done, total_bytes: total }: PullLine): string {
  const word = typeof phase === "string" ? phase : "fetching";
  if (typeof done !== "number") return word;
  if (typeof total !== "number" || total <= 0) return `${word}, ${megabytes(done)}`;
  return `${word}, ${Math.floor((100 * done) / total)} % of ${megabytes(total)}`;
}

/** Reads one line of the pull's output; undefined when it tells nothing that a person waits for. */
export function readPullLine(text: string): PullNews | undefined {
  let line: PullLine;
  try {
    line = JSON.parse(text) as PullLine;
  } catch {
    return undefined;
  }
  if (line.event === "progress") return { progress: describeProgress(line) };
  if (line.event === "error" && typeof line.message === "string") return { failure: line.message };
  return undefined;
}

/** The command that makes `model` (undefined: the default one) present in the cache. */
export function pullSpec(
  root: string,
  model: string | undefined,
  inherited: Record<string, string | undefined>,
): ServiceSpec {
  const program = join(root, "inference-node", "model-source", "main.ts");
  const reference = model === undefined ? [] : [model];
  return {
    command: process.execPath,
    args: [...process.execArgv, program, "resolve", ...reference, "--json"],
    cwd: root,
    env: inherited,
  };
}
