// Which Node runs our TypeScript, and with which flags.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { flagsFor, pickNode } from "./guard.mjs";

const quiet = "--disable-warning=ExperimentalWarning";

test.each([
  ["22.12.0", ["--experimental-strip-types", "--experimental-sqlite", quiet]],
  ["22.13.0", ["--experimental-strip-types", quiet]],
  ["22.18.0", [quiet]],
  ["23.5.0", ["--experimental-strip-types", quiet]],
  ["23.6.0", [quiet]],
  ["24.0.0", [quiet]],
  ["24.12.0", []],
  ["24.21.0", []],
  ["25.0.0", []],
])("Node %s gets the flags %j", (version, flags) => {
  expect(flagsFor(version)).toEqual(flags);
});

describe("the choice", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-guard-"));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function fakeNode(script: string): string {
    const path = join(folder, "node");
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return path;
  }

  const old = { path: "/usr/bin/node", version: "20.20.2" };
  const fresh = { path: "/usr/bin/node", version: "22.12.0" };

  test("falls on the bundled Node where it runs", () => {
    const bundled = fakeNode("echo 24.21.0");
    expect(pickNode(bundled, old)).toEqual({ path: bundled, version: "24.21.0" });
    expect(pickNode(bundled, fresh)).toEqual({ path: bundled, version: "24.21.0" });
  });

  test("falls on the caller's when the bundled one is absent, broken or too old itself", () => {
    expect(pickNode(join(folder, "none"), fresh)).toEqual(fresh);
    expect(pickNode(fakeNode("exit 127"), fresh)).toEqual(fresh);
    expect(pickNode(fakeNode("echo 22.11.0"), fresh)).toEqual(fresh);
  });

  test("falls on the caller's without asking it when it is the bundled one", () => {
    const bundled = fakeNode("exit 1");
    expect(pickNode(bundled, { path: bundled, version: "24.21.0" })).toEqual({ path: bundled, version: "24.21.0" });
  });

  test("falls on none below 22.12", () => {
    expect(pickNode(join(folder, "none"), old)).toBeUndefined();
    expect(pickNode(join(folder, "none"), { path: "/n", version: "22.11.9" })).toBeUndefined();
    expect(pickNode(join(folder, "none"), { path: "/n", version: "8.0.0" })).toBeUndefined();
  });
});
