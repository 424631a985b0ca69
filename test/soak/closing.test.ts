// What a stopped stack left behind is found: processes, and folders of saved prompts.
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { treeOf } from "../support/process-tree.ts";
import { leftoversOf, prefixFaults } from "./closing.ts";

// This process is no node: nobody else makes or removes a folder of that name.
const folder = join(tmpdir(), `sluice-prefixes-${process.pid}-1`);

beforeEach(() => {
  mkdirSync(folder);
  writeFileSync(join(folder, "1.state"), "x".repeat(1_000));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("more saved prompts than are allowed are told, by bytes and by number", () => {
  expect(prefixFaults(process.pid, 1_000)).toEqual([]);
  expect(prefixFaults(process.pid, 999)).toEqual([`${folder} has 1 files of 1000 bytes; 999 bytes are allowed.`]);
  for (let index = 2; index <= 257; index += 1) writeFileSync(join(folder, `${index}.state`), "");
  expect(prefixFaults(process.pid, 1_000)).toHaveLength(1);
});

test("a folder that is still there after the stop is told, one that goes in time is not", async () => {
  expect(await leftoversOf([], process.pid, 50)).toEqual([`${folder} is still there.`]);
  const left = leftoversOf([], process.pid);
  rmSync(folder, { recursive: true });
  expect(await left).toEqual([]);
});

test("a process that goes on after the stop is told", async () => {
  rmSync(folder, { recursive: true });
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await new Promise((resolve) => child.once("spawn", resolve));
  const tree = treeOf(child.pid ?? 0);
  expect(await leftoversOf(tree, process.pid, 50)).toEqual([
    expect.stringContaining(`Process ${child.pid} still runs`),
  ]);
  child.kill("SIGKILL");
  expect(await leftoversOf(tree, process.pid)).toEqual([]);
});
