// The steps before any service runs: the model in the cache, the database at this checkout's schema.
import { join } from "node:path";
import { migrateSpec } from "./edge-service.ts";
import type { Launcher } from "./launcher.ts";
import type { LogFile } from "./log-file.ts";
import { appliedMigrations, backUp, knownMigrations, pendingMigrations } from "./migrations.ts";
import { pullSpec, readPullLine } from "./model-pull.ts";
import type { StackInput } from "./stack.ts";
import { reasonIn, StartError } from "./start-error.ts";
import { describeExit } from "./supervisor.ts";

/** Fetches the models that are not there; those for embeddings the node fetches itself, later. Rejects with StartError. */
export async function pullModels(input: StackInput, launcher: Launcher, log: LogFile): Promise<void> {
  for (const model of input.options.model?.split(",") ?? [undefined]) await pullModel(model, input, launcher, log);
}

async function pullModel(
  model: string | undefined,
  { root, inherited, report }: StackInput,
  launcher: Launcher,
  log: LogFile,
): Promise<void> {
  let result = model ?? "the default one";
  let failure: string | undefined;
  const onLine = (line: string): void => {
    const news = readPullLine(line);
    if (news.progress !== undefined) report.progress(`model: ${news.progress}`);
    if (news.notice !== undefined) report.line(news.notice);
    result = news.result ?? result;
    failure = news.failure ?? failure;
  };
  report.progress(`model: ${result}`);
  const exit = await launcher.run({ spec: pullSpec(root, model, inherited), log, name: "model", onLine });
  if (exit.code !== 0) {
    throw new StartError(failure ?? `The model cannot be fetched (${describeExit(exit)}): see ${log.path}.`);
  }
  report.done(`model: ${result}`);
}

/** Applies the migrations that the local database lacks, after a backup. Rejects with StartError. */
export async function migrate(input: StackInput, launcher: Launcher, log: LogFile): Promise<void> {
  const { root, paths, report, now } = input;
  const known = knownMigrations(join(root, "edge", "migrations"));
  const pending = pendingMigrations(known, appliedMigrations(paths), paths.dir);
  if (pending.length === 0) return;
  const backup = backUp(paths, new Date(now()));
  const what = `database: ${pending.length} ${pending.length === 1 ? "migration" : "migrations"}`;
  report.progress(what);
  const exit = await launcher.run({ spec: migrateSpec(input), log, name: "migrate" });
  if (exit.code !== 0) {
    const rescue = backup === undefined ? "" : `, the state before lies in ${backup}`;
    const reason = reasonIn(log.tail()) ?? describeExit(exit);
    throw new StartError(`The database cannot be migrated (${reason}): see ${log.path}${rescue}.`);
  }
  report.done(`${what} applied${backup === undefined ? "" : `, backup in ${backup}`}`);
}
