// An install that fails is one sentence that says what to do.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { explain, matchesLock } from "./install.mjs";
import { BareClone } from "./testing/bare-clone.ts";

let clone: BareClone;

beforeEach(() => {
  clone = new BareClone();
});

afterEach(() => clone[Symbol.dispose]());

test.each([
  ["npm error code ENOTFOUND\nnpm error network request to ...", "the package registry cannot be reached"],
  ["npm error code EAI_AGAIN", "the package registry cannot be reached"],
  ["npm error code ENOSPC\nnpm error nospc no space left on device", "the disk is full"],
  ["npm error code EACCES\nnpm error syscall mkdir", "this folder cannot be written to"],
  ["npm error code EUSAGE\nnpm error\nnpm error The lock is out of step.", "npm ci failed (The lock is out of step)"],
  ["", "npm ci failed (npm gave no reason)"],
])("%j is explained as: %s", (output, sentence) => {
  expect(explain(output)).toMatch(/^[^\n]+\.$/);
  expect(explain(output).startsWith(sentence)).toBe(true);
});

test("a failed install is a sentence and code 1, the program does not run, and the next start tries again", async () => {
  clone.writeNpm('console.error("npm error code ENOTFOUND"); process.exit(1);');
  for (let round = 0; round < 2; round += 1) {
    const { code, stdout, stderr } = await clone.start().outcome;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^sluice: the package registry cannot be reached: .*\.$/);
    expect(stderr.match(/Installing/g)).toHaveLength(1);
  }
});

test("an interrupted install is a sentence, and npm does not go on alone", async () => {
  clone.writeNpm(`
    const fs = require("fs");
    process.on("SIGTERM", () => { fs.writeFileSync("npm-ended", ""); process.exit(1); });
    console.log("busy");
    fs.writeFileSync("npm-runs", "");
    setInterval(() => undefined, 1000);`);
  const { child, outcome } = clone.start();
  while (!existsSync(join(clone.root, "npm-runs"))) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill("SIGTERM");
  expect((await outcome).code).toBe(1);
  expect(existsSync(join(clone.root, "npm-ended"))).toBe(true);
});

test("node_modules that is a link is refused: an install would empty the folder behind it", async () => {
  mkdirSync(join(clone.root, "theirs"));
  writeFileSync(join(clone.root, "theirs", "precious"), "");
  symlinkSync("theirs", join(clone.root, "node_modules"));
  const { code, stderr } = await clone.start().outcome;
  expect(code).toBe(1);
  expect(stderr).toMatch(/node_modules is a link to another folder.*remove the link/);
  expect(existsSync(join(clone.root, "theirs", "precious"))).toBe(true);
  expect(clone.npmCalls()).toEqual([]);
});

test("below Node 22.12, where none comes along, the version found and the one needed are said", async () => {
  const pretend = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } })';
  const options = `--import=data:text/javascript,${encodeURIComponent(pretend)}`;
  const { code, stdout, stderr } = await clone.start([], { NODE_OPTIONS: options }).outcome;
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^sluice: Node 20\.20\.2 is too old: .* 22\.12 or newer\..*\.$/);
});

test("an unknown command of the launcher is named", async () => {
  const child = spawn(process.execPath, [join(clone.root, "cli", "bootstrap.mjs"), "strat"], { stdio: "pipe" });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  expect(await new Promise((resolve) => child.once("close", resolve))).toBe(1);
  expect(stderr).toBe('sluice: bootstrap runs one of start, test, bench, soak, not "strat".\n');
});

test("node_modules matches the lock file only when every package of this machine is there as locked", () => {
  const modules = join(clone.root, "node_modules");
  const entry = { version: "1.0.0", integrity: "sha512-a" };
  const here = { ...entry, optional: true, os: [process.platform], cpu: [process.arch] };
  const record = (packages: object): void => {
    mkdirSync(join(modules, "a"), { recursive: true });
    writeFileSync(join(modules, ".package-lock.json"), JSON.stringify({ packages }));
  };
  clone.writeLock({ packages: { "": {}, "node_modules/a": entry } });
  expect(matchesLock(clone.root)).toBe(false);
  record({ "node_modules/a": entry });
  expect(matchesLock(clone.root)).toBe(true);
  record({ "node_modules/a": { ...entry, integrity: "sha512-z" } });
  expect(matchesLock(clone.root)).toBe(false);
  record({});
  expect(matchesLock(clone.root)).toBe(false);
  record({ "node_modules/a": entry });
  clone.writeLock({ packages: { "node_modules/a": entry, "node_modules/b": here } });
  expect(matchesLock(clone.root)).toBe(false);
  clone.writeLock({ packages: { "node_modules/a": entry, "node_modules/b": { ...here, os: ["!linux", "!darwin"] } } });
  expect(matchesLock(clone.root)).toBe(true);
  clone.writeLock({ packages: { "node_modules/a": entry, "node_modules/b": entry } });
  record({ "node_modules/a": entry, "node_modules/b": entry });
  expect(matchesLock(clone.root)).toBe(false);
});
