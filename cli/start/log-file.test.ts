// A log never takes more than its two files.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LogFile } from "./log-file.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-log-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("lines are appended, also to those of an earlier run, for this user's eyes only", () => {
  const path = join(folder, "x.log");
  for (const text of ["one", "two"]) {
    const log = new LogFile(path);
    log.line(text);
    log.close();
  }
  expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("a full file is kept as .1, and what was there before is gone", () => {
  const path = join(folder, "x.log");
  const log = new LogFile(path, 100);
  for (let number = 0; number < 50; number += 1) log.line(`line ${String(number).padStart(4, "0")}`);
  log.close();
  for (const file of [path, `${path}.1`]) expect(statSync(file).size).toBeLessThanOrEqual(100);
  const text = readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8");
  expect(text.trimEnd().split("\n").at(-1)).toBe("line 0049");
  expect(text).not.toContain("line 0000");
});

test("the last lines are at hand", () => {
  const log = new LogFile(join(folder, "x.log"));
  for (let number = 0; number < 30; number += 1) log.line(String(number));
  log.close();
  expect(log.tail()).toHaveLength(20);
  expect(log.tail().at(-1)).toBe("29");
});

test("a line that cannot be written is lost, and nothing else", () => {
  const log = new LogFile(join(folder, "x.log"));
  log.close();
  expect(() => log.line("too late")).not.toThrow();
  expect(log.tail()).toEqual(["too late"]);
});
