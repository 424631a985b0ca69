// An npm command in a bare clone: installs once, then runs the program as if nothing stood between.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BareClone } from "./testing/bare-clone.ts";

let clone: BareClone;

beforeEach(() => {
  clone = new BareClone();
});

afterEach(() => clone[Symbol.dispose]());

test("the first start installs, says so, and runs the program with its arguments", async () => {
  const { code, stdout, stderr } = await clone.start(["--port", "0", "a b"]).outcome;
  expect({ code, stdout }).toEqual({ code: 0, stdout: '["--port","0","a b"]\n' });
  expect(stderr).toMatch(/^Installing the packages .*\nInstalled in \d+ s\.\n$/);
  expect(clone.npmCalls()).toEqual(["ci --no-audit --no-fund --loglevel=error --include=dev --include=optional"]);
  expect(existsSync(join(clone.root, ".sluice", "install.lock"))).toBe(false);
});

test("the second start installs nothing and says nothing", async () => {
  await clone.start().outcome;
  const { code, stderr } = await clone.start().outcome;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(clone.npmCalls()).toHaveLength(1);
});

test("a new lock file is installed", async () => {
  await clone.start().outcome;
  clone.writeLock({ packages: { "node_modules/a": { version: "2.0.0", integrity: "sha512-c" } } });
  await clone.start().outcome;
  expect(clone.npmCalls()).toHaveLength(2);
});

test("an install by hand is recognised", async () => {
  const record = { packages: { "node_modules/a": { version: "1.0.0", integrity: "sha512-a" } } };
  mkdirSync(join(clone.root, "node_modules", "a"), { recursive: true });
  writeFileSync(join(clone.root, "node_modules", ".package-lock.json"), JSON.stringify(record));
  expect((await clone.start().outcome).code).toBe(0);
  expect(clone.npmCalls()).toEqual([]);
});

test("an install that broke off is done again", async () => {
  mkdirSync(join(clone.root, "node_modules", "a"), { recursive: true });
  expect((await clone.start().outcome).code).toBe(0);
  expect(clone.npmCalls()).toHaveLength(1);
});

test("two starts at once install once, and both run", async () => {
  const both = await Promise.all([clone.start(["1"]).outcome, clone.start(["2"]).outcome]);
  expect(both.map(({ code, stdout }) => [code, stdout])).toEqual([
    [0, '["1"]\n'],
    [0, '["2"]\n'],
  ]);
  expect(clone.npmCalls()).toHaveLength(1);
});

test("the program's exit code is the command's, with an install before it and without", async () => {
  clone.writeProgram("process.exit(7);");
  expect((await clone.start().outcome).code).toBe(7);
  expect((await clone.start().outcome).code).toBe(7);
});

test("a signal reaches the program, whose end is waited for", async () => {
  clone.writeProgram(`
    process.on("SIGTERM", () => setTimeout(() => { console.log("tidied up"); process.exit(3); }, 100));
    setInterval(() => undefined, 1000);
    console.log("running");`);
  const { child, outcome } = clone.start();
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  child.kill("SIGTERM");
  expect(await outcome).toMatchObject({ code: 3, stdout: "running\ntidied up\n" });
});

test("a program that a signal ends, ends the command by it", async () => {
  clone.writeProgram('process.kill(process.pid, "SIGKILL"); setInterval(() => undefined, 1000);');
  expect(await clone.start().outcome).toMatchObject({ code: null, signal: "SIGKILL" });
});

test("the program learns of its launcher's death", async () => {
  clone.writeProgram(`
    import { writeFileSync } from "node:fs";
    process.on("disconnect", () => { writeFileSync("orphaned", ""); process.exit(); });
    console.log("running");`);
  const { child, outcome } = clone.start();
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  child.kill("SIGKILL");
  await outcome;
  await vi.waitFor(() => expect(readFileSync(join(clone.root, "orphaned"), "utf8")).toBe(""), 5_000);
});
