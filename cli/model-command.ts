// Runs the node's model-source command, which owns the cache, and reads its JSON lines.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { CliError } from "./cli-error.ts";
import type { CommandContext } from "./command.ts";

const PROGRAM = fileURLToPath(new URL("../inference-node/model-source/main.ts", import.meta.url));
const COMPLAINT_CHARS_MAX = 4_096;

type Line = Readonly<Record<string, unknown>>;

/**
 * Runs one command of it and resolves to its result line; progress and notices go to the output as they come.
 * Rejects with a CliError: its own sentence when it gave one.
 */
export async function runModelCommand(args: readonly string[], context: CommandContext): Promise<Line> {
  const { output, env, signal } = context;
  const child = spawn(process.execPath, [...process.execArgv, PROGRAM, "--json", ...args], {
    env: env.inherited,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stop = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-COMPLAINT_CHARS_MAX);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  let result: Line | undefined;
  let failure: Line | undefined;
  for await (const text of createInterface({ input: child.stdout })) {
    const line = parseLine(text);
    if (line?.event === "progress") output.progress(progressOf(line));
    if (line?.event === "notice") output.remark(String(line.message));
    if (line?.event === "result") result = line;
    if (line?.event === "error") failure = line;
  }
  const code = await ended;
  signal.removeEventListener("abort", stop);
  output.clearProgress();
  if (failure !== undefined) throw new CliError(String(failure.message), { code: String(failure.code) });
  if (code === 0 && result !== undefined) return result;
  const firstLine =
    complaint
      .trim()
      .split("\n")[0]
      ?.replace(/^error: /, "") ?? "";
  throw new CliError(firstLine || `The model command ended with status ${code}.`, { code: "io_failed" });
}

function progressOf(line: Line): { label: string; doneBytes: number; totalBytes: number | undefined } {
  const { phase, done_bytes: done, total_bytes: total, part } = line;
  const words: Readonly<Record<string, string>> = {
    waiting: "Waiting for another download",
    downloading: "Downloading",
    unpacking: "Unpacking",
    converting: "Converting",
    verifying: "Verifying",
  };
  const which = typeof part === "object" && part !== null && "index" in part && "count" in part ? part : undefined;
  const suffix = which === undefined ? "" : ` part ${which.index} of ${which.count}`;
  return {
    label: `${words[String(phase)] ?? String(phase)}${suffix}`,
    doneBytes: typeof done === "number" ? done : 0,
    totalBytes: typeof total === "number" ? total : undefined,
  };
}

function parseLine(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Line) : undefined;
  } catch {
    return undefined;
  }
}
