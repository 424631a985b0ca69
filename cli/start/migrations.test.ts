// Which migrations are to be applied, and that nothing is lost on the way.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { appliedMigrations, backUp, knownMigrations, pendingMigrations } from "./migrations.ts";
import { type StatePaths, statePaths } from "./state.ts";

let paths: StatePaths;
let folder: string;

beforeEach(() => {
  paths = statePaths(mkdtempSync(join(tmpdir(), "sluice-migrations-")));
  folder = join(paths.database, "v3", "d1", "miniflare-D1DatabaseObject");
});

afterEach(() => rmSync(paths.dir, { recursive: true, force: true }));

function makeDatabase(applied: string[], name = "a.sqlite"): void {
  mkdirSync(folder, { recursive: true });
  const database = new DatabaseSync(join(folder, name));
  database.exec("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY, name TEXT)");
  for (const migration of applied) database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").run(migration);
  database.close();
}

test("the known migrations are the SQL files in the order of their names", () => {
  mkdirSync(folder, { recursive: true });
  for (const name of ["0001_b.sql", "0000_a.sql", "meta.json"]) writeFileSync(join(folder, name), "");
  expect(knownMigrations(folder)).toEqual(["0000_a.sql", "0001_b.sql"]);
});

test("a database that is not there, or has no table of migrations, has had none", () => {
  expect(appliedMigrations(paths)).toEqual([]);
  mkdirSync(folder, { recursive: true });
  new DatabaseSync(join(folder, "a.sqlite")).close();
  expect(appliedMigrations(paths)).toEqual([]);
});

test("the applied migrations are read in their order, also of a database that was not closed", () => {
  makeDatabase(["0000_a.sql"]);
  const open = new DatabaseSync(join(folder, "a.sqlite"));
  open.exec("PRAGMA journal_mode = WAL; INSERT INTO d1_migrations (name) VALUES ('0001_b.sql')");
  expect(appliedMigrations(paths)).toEqual(["0000_a.sql", "0001_b.sql"]);
  open.close();
});

test("Miniflare's own bookkeeping is not taken for a database", () => {
  makeDatabase(["0000_of_something_else.sql"], "metadata.sqlite");
  expect(appliedMigrations(paths)).toEqual([]);
});

test("a damaged database is a sentence that names the way back", () => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "a.sqlite"), "not a database".repeat(1_000));
  expect(() => appliedMigrations(paths)).toThrow(/cannot be read \(.*\): put a copy from .*backups/);
});

test("what is known and not applied is pending; what is applied and not known is a newer checkout's", () => {
  expect(pendingMigrations(["0", "1", "2"], ["0"], "/s")).toEqual(["1", "2"]);
  expect(pendingMigrations(["0"], ["0"], "/s")).toEqual([]);
  expect(() => pendingMigrations(["0"], ["0", "1"], "/s")).toThrow(/newer checkout \(migration 1 is unknown here\)/);
});

test("a backup holds database and secrets; the newest three are kept", () => {
  expect(backUp(paths, new Date(0))).toBeUndefined();
  makeDatabase(["0000_a.sql"]);
  writeFileSync(paths.secrets, "secret");
  for (const second of [1, 2, 3, 4]) backUp(paths, new Date(second * 1_000));
  const kept = readdirSync(paths.backups).sort();
  expect(kept).toEqual(["1970-01-01T00-00-02-000Z", "1970-01-01T00-00-03-000Z", "1970-01-01T00-00-04-000Z"]);
  const newest = statePaths(join(paths.backups, "1970-01-01T00-00-04-000Z"));
  expect(appliedMigrations(newest)).toEqual(["0000_a.sql"]);
  expect(readFileSync(newest.secrets, "utf8")).toBe("secret");
});
