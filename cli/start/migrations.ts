// Brings the local database to this checkout's schema: backup first, and never from a newer schema to an older.
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StartError } from "./start-error.ts";
import type { StatePaths } from "./state.ts";

const BACKUPS_MAX = 3;

/** The names of the migration files in a folder, in the order of their application. */
export function knownMigrations(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .sort();
}

function databaseFiles(paths: StatePaths): string[] {
  // Miniflare's place for D1; a second file appears when the database's id in wrangler.toml changes.
  const folder = join(paths.database, "v3", "d1", "miniflare-D1DatabaseObject");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite")
    .map((name) => join(folder, name));
}

function appliedIn(file: string): string[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const table = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'd1_migrations'").get();
    if (table === undefined) return [];
    return database
      .prepare("SELECT name FROM d1_migrations ORDER BY id")
      .all()
      .map((row) => String(row.name));
  } finally {
    database.close();
  }
}

/** The migrations that the local database has had. Nothing may have it open. Throws StartError when it cannot be read. */
export function appliedMigrations(paths: StatePaths): string[] {
  try {
    return [...new Set(databaseFiles(paths).flatMap(appliedIn))];
  } catch (error) {
    throw new StartError(
      `The database in ${paths.database} cannot be read (${(error as Error).message}): ` +
        `put a copy from ${paths.backups} in its place, or move it away to begin afresh.`,
    );
  }
}

/** What is still to apply. Throws StartError when the database is ahead of this checkout. */
export function pendingMigrations(known: string[], applied: string[], stateDir: string): string[] {
  const unknown = applied.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new StartError(
      `The state in ${stateDir} was written by a newer checkout (migration ${unknown} is unknown here): ` +
        "update this checkout, or choose another folder with --state DIR.",
    );
  }
  return known.filter((name) => !applied.includes(name));
}

/**
 * Copies database and secrets to a folder of the moment's name and keeps the newest three.
 * Returns its path, undefined when there is nothing to lose yet. Throws the file system's errors.
 */
export function backUp(paths: StatePaths, now: Date): string | undefined {
  if (databaseFiles(paths).length === 0) return undefined;
  const target = join(paths.backups, now.toISOString().replace(/[:.]/g, "-"));
  mkdirSync(target, { recursive: true, mode: 0o700 });
  cpSync(paths.database, join(target, "state"), { recursive: true });
  if (existsSync(paths.secrets)) cpSync(paths.secrets, join(target, "secrets.json"));
  const old = readdirSync(paths.backups).sort().slice(0, -BACKUPS_MAX);
  for (const name of old) rmSync(join(paths.backups, name), { recursive: true, force: true });
  return target;
}
