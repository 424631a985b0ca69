// A lock has one holder at a time, and dies with it.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isAlive, self, tryLock } from "./lock.mjs";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-lock-"));
  path = join(folder, "x.lock");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a held lock names its holder, and a released one is free", () => {
  const first = tryLock(path);
  expect(first.held).toBe(true);
  expect(tryLock(path)).toEqual({ held: false, owner: self() });
  first.release?.();
  expect(readdirSync(folder)).toEqual([]);
  const second = tryLock(path);
  expect(second.held).toBe(true);
  second.release?.();
});

test("the lock of a dead process is taken over", () => {
  const { pid } = spawnSync("true");
  writeFileSync(path, JSON.stringify({ pid }));
  expect(tryLock(path).held).toBe(true);
  expect(JSON.parse(readFileSync(path, "utf8")).pid).toBe(process.pid);
});

test("a process that got a dead holder's number is not taken for it", () => {
  const own = self();
  if (own.born === undefined) throw new Error("This test needs /proc.");
  expect(isAlive(own)).toBe(true);
  expect(isAlive({ pid: own.pid, born: "1" })).toBe(false);
  writeFileSync(path, JSON.stringify({ pid: own.pid, born: "1" }));
  expect(tryLock(path).held).toBe(true);
});

test.each(["", "{", "null", '{"pid":"x"}', '{"pid":-1}'])(
  "a file without an owner (%j) is taken over when it is old",
  (text) => {
    writeFileSync(path, text);
    utimesSync(path, 1, 1);
    expect(tryLock(path).held).toBe(true);
  },
);

test("a lock in a folder that is not there is the file system's error", () => {
  expect(() => tryLock(join(folder, "nowhere", "x.lock"))).toThrow(/ENOENT/);
});

test("of many that find a dead holder's lock at once, one at a time gets it", async () => {
  writeFileSync(path, JSON.stringify({ pid: spawnSync("true").pid }));
  const diary = join(folder, "diary");
  const program = `
    import { tryLock } from ${JSON.stringify(new URL("./lock.mjs", import.meta.url).href)};
    import { appendFileSync } from "node:fs";
    let lock = tryLock(process.argv[1]);
    while (!lock.held) { await new Promise((r) => setTimeout(r, 2)); lock = tryLock(process.argv[1]); }
    appendFileSync(process.argv[2], "in\\n");
    await new Promise((r) => setTimeout(r, 20));
    appendFileSync(process.argv[2], "out\\n");
    lock.release();`;
  const codes = await Promise.all(
    Array.from({ length: 6 }, () => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", program, path, diary], { stdio: "inherit" });
      return new Promise((resolve) => child.once("exit", resolve));
    }),
  );
  expect(codes).toEqual([0, 0, 0, 0, 0, 0]);
  expect(readFileSync(diary, "utf8")).toBe("in\nout\n".repeat(6));
});
