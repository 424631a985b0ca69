// `npm start`: brings the whole stack up on this machine, says how to use it, and takes it down again.
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { tryLock } from "../lock.mjs";
import { readEnvironment, type StartEnvironment } from "./config.ts";
import { HELP, parseOptions, type StartOptions } from "./options.ts";
import { Report, welcome } from "./report.ts";
import { Stack } from "./stack.ts";
import { StartError, sentenceOf } from "./start-error.ts";
import { loadSecrets, makeFolders, readDevUrl, removeDevFile, type StatePaths, statePaths } from "./state.ts";

/** A Ctrl-C reaches us twice, from the terminal and from npm: only a later one means "at once". */
const SECOND_SIGNAL_MS = 1_000;
const PARENT_POLL_MS = 1_000;

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

function takeLock(paths: StatePaths): () => void {
  const attempt = tryLock(paths.lock);
  if (attempt.held) return attempt.release;
  const url = readDevUrl(paths);
  const where = url === undefined ? "is still starting" : `serves ${url}`;
  throw new StartError(
    `Sluice already runs here: process ${attempt.owner.pid} ${where}; end it with kill ${attempt.owner.pid}, or use another folder with --state DIR.`,
  );
}

/** Calls `onStop` for every reason to end: a signal, the end of the process that started us. */
function listenForEnd(env: StartEnvironment, onStop: () => void): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onStop);
  process.on("disconnect", onStop);
  process.channel?.unref();
  if (!env.underNpm || process.channel !== undefined) return;
  const parent = process.ppid;
  // npm's shell may die without passing the signal on: a new parent tells.
  setInterval(() => {
    if (process.ppid !== parent) onStop();
  }, PARENT_POLL_MS).unref();
}

async function serve(options: StartOptions, env: StartEnvironment, report: Report): Promise<void> {
  const paths = statePaths(options.stateDir);
  makeFolders(paths);
  const release = takeLock(paths);
  try {
    removeDevFile(paths);
    const secrets = loadSecrets(paths, (sentence) => report.line(sentence));
    const stack = new Stack({ root, options, paths, secrets, inherited: env.inherited, report, now: Date.now });
    let stoppedAt: number | undefined;
    const stopped = new Promise<void>((resolve) => {
      listenForEnd(env, () => {
        if (stoppedAt === undefined) {
          stoppedAt = Date.now();
          report.line("Stopping ...");
          resolve();
        } else if (Date.now() - stoppedAt > SECOND_SIGNAL_MS) stack.stopNow();
      });
    });
    try {
      const started = stack.start().then((dev) => {
        report.line(welcome(dev, paths.dev));
      });
      started.catch(() => undefined);
      await Promise.race([stopped, started]);
      if (stoppedAt === undefined) await Promise.race([stopped, stack.broken]);
    } finally {
      await stack.stop();
    }
  } finally {
    release();
  }
}

async function main(): Promise<number> {
  const report = new Report(process.stdout, Date.now);
  // A reader that goes away (`npm start | head`) must not take the services down in disorder.
  process.stdout.on("error", () => undefined);
  const env = readEnvironment();
  try {
    const options = parseOptions(process.argv.slice(2), env, root);
    if (options === undefined) process.stdout.write(HELP);
    else await serve(options, env, report);
    return 0;
  } catch (error) {
    process.stderr.write(`sluice: ${sentenceOf(error)}\n`);
    return 1;
  }
}

process.exit(await main());
