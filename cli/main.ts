// The `sluice` command: gives the run its world, and leaves `sluice start` to the program behind `npm start`.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { readEnvironment } from "./config.ts";
import { run } from "./run.ts";

/** As shells count a process that a signal ended. */
const EXIT_OF_SIGNAL = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** A Ctrl-C may reach us twice, from the terminal and from our launcher: only a later one means "at once". */
const SECOND_SIGNAL_MS = 1_000;

async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  let stopped: { readonly code: number; readonly atMs: number } | undefined;
  for (const [name, code] of Object.entries(EXIT_OF_SIGNAL)) {
    process.on(name, () => {
      if (stopped !== undefined && performance.now() - stopped.atMs > SECOND_SIGNAL_MS) process.exit(code);
      stopped ??= { code, atMs: performance.now() };
      stop.abort();
    });
  }
  // `sluice keys list | head -1` is no failure: the reader has what it wants.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  }
  const code = await run(args, {
    stdout: process.stdout,
    stderr: process.stderr,
    env: readEnvironment(),
    cwd: process.cwd(),
    checkout: fileURLToPath(new URL("..", import.meta.url)),
    version: readVersion(),
    now: Date.now,
    confirm: process.stdin.isTTY && process.stderr.isTTY ? (question) => confirm(question, stop.signal) : undefined,
    signal: stop.signal,
  });
  return stopped?.code ?? code;
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const version = typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : "";
  return String(version);
}

async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new AbortController();
  // Ctrl-D and Ctrl-C mean no.
  terminal.on("close", () => closed.abort());
  try {
    const answer = await terminal.question(question, { signal: AbortSignal.any([signal, closed.signal]) });
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    return false;
  } finally {
    terminal.close();
  }
}

const args = process.argv.slice(2);
if (args[0] === "start") {
  // That program reads the arguments for itself, and its own end is this one's.
  process.argv.splice(2, 1);
  await import("./start/main.ts");
} else {
  process.exitCode = await main(args);
}
