// The entry of `npm run soak`: command line in, exit code out (0, 1 a guarantee broke, 2 wrong usage, 130 interrupted).
import { setMaxListeners } from "node:events";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { readOptions, UsageError, usage } from "./options.ts";
import { jsonOf, ProgressLine, reportOf } from "./report.ts";
import { soak } from "./soak.ts";
import { allHeld } from "./verdict.ts";

/** A Ctrl-C comes twice, from the terminal and from npm: only a later one means "at once". */
const secondSignalMs = 1_000;

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args, Date.now());
  if (options === "help") {
    process.stdout.write(usage);
    return 0;
  }
  const controller = new AbortController();
  // Every client listens to it.
  setMaxListeners(0, controller.signal);
  let interruptedAt = Number.POSITIVE_INFINITY;
  const interrupt = (): void => {
    // Whoever asks twice wants no verdict; the stack goes when its channel to this process ends.
    if (performance.now() - interruptedAt > secondSignalMs) process.exit(130);
    interruptedAt = Math.min(interruptedAt, performance.now());
    controller.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  process.once("disconnect", interrupt);
  process.channel?.unref();
  const line = new ProgressLine(process.stderr);
  line.event(`Starting the stack; seed ${options.soak.seed}.`);
  const result = await soak(options.soak, controller.signal, {
    progress: (progress) => line.show(progress),
    event: (sentence) => line.event(sentence),
  });
  process.stdout.write(reportOf(result));
  if (options.json !== undefined) writeFileSync(resolve(options.json), jsonOf(result));
  if (!allHeld(result.verdict)) return 1;
  return result.interrupted ? 130 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(
    `soak: ${(error as Error).message}${error instanceof UsageError ? " (--help lists the options)" : ""}\n`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
