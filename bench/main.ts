// The entry of `npm run bench`: command line in, exit code out (0, 1 failed, 2 wrong usage, 130 interrupted).
import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError, usage } from "./command-line.ts";
import { machineFacts } from "./machine.ts";
import { readOptions } from "./options.ts";
import { defaultResultsPath } from "./results-file.ts";
import { run } from "./run.ts";
import { BenchError } from "./target.ts";
import type { RunningStack } from "./target-spec.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The stack that `npm start` left a note of; undefined when there is none or it can't be read. */
function runningStack(): RunningStack | undefined {
  try {
    const state = JSON.parse(readFileSync(join(root, ".sluice", "dev.json"), "utf8")) as Record<string, unknown>;
    const text = (name: string): string => {
      const value = state[name];
      if (typeof value !== "string") throw new Error(`dev.json has no ${name}`);
      return value;
    };
    const nodePid = (state.pids as { node?: unknown } | undefined)?.node;
    return {
      url: text("url"),
      key: text("apiKey"),
      node: text("node"),
      nodeWeb: text("nodeWeb"),
      nodeSecret: text("nodeSecret"),
      nodePid: typeof nodePid === "number" ? nodePid : undefined,
    };
  } catch {
    return undefined;
  }
}

async function main(args: readonly string[]): Promise<number> {
  const now = Date.now();
  const options = readOptions(args, {
    environment: process.env,
    cores: availableParallelism(),
    now,
    running: runningStack(),
  });
  if (options === "help") {
    process.stdout.write(usage);
    return 0;
  }
  const controller = new AbortController();
  // Every stream listens to it.
  setMaxListeners(0, controller.signal);
  const interrupt = (): void => controller.abort(new BenchError("interrupted"));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  // The program that started us is gone.
  process.once("disconnect", interrupt);
  process.channel?.unref();
  const startedAt = new Date(now).toISOString();
  return run(
    options,
    {
      machine: await machineFacts(root),
      startedAt,
      outPath: options.out === undefined ? defaultResultsPath(root, startedAt) : resolve(options.out),
      print: (line) => process.stdout.write(`${line}\n`),
      progressOutput: process.stderr,
    },
    controller.signal,
  );
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof BenchError)) throw error;
  const hint = error instanceof UsageError ? " (--help lists the options)" : "";
  const sentence = `bench: ${error.message}${hint}`;
  process.stderr.write(/[.?!]$/.test(sentence) ? `${sentence}\n` : `${sentence}.\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
