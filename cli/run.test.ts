// The command line itself: help for everything, version, order of options.
import { expect, test } from "vitest";
import { readEnvironment } from "./config.ts";
import { COMMANDS, run } from "./run.ts";
import { fakeServer, sluice } from "./testing/fake-world.ts";

test.each([[[]], [["--help"]], [["-h"]], [["help"]]])("sluice %j lists every command", async (args) => {
  const { code, stdout, stderr } = await sluice(args);
  expect(code).toBe(0);
  expect(stderr).toBe("");
  for (const command of [...COMMANDS, { words: "start" }]) expect(stdout).toContain(`  ${command.words} `);
});

test.each(COMMANDS.map((command) => [command.words, command] as const))(
  "sluice %s --help has usage, every option and an example, and needs no server",
  async (words, command) => {
    for (const args of [
      [...words.split(" "), "--help"],
      [...words.split(" "), "-h"],
      ["help", ...words.split(" ")],
    ]) {
      const { code, stdout } = await sluice(args);
      expect(code).toBe(0);
      expect(stdout).toContain(`Usage: sluice ${words}`);
      expect(stdout).toContain(command.summary);
      expect(stdout).toMatch(/Examples:\n {2}sluice /);
      for (const { name } of command.options) expect(stdout).toContain(`--${name}`);
      for (const name of ["url", "admin-key", "api-key", "json", "help"]) expect(stdout).toContain(`--${name}`);
    }
  },
);

test("sluice keys --help lists that group alone", async () => {
  for (const args of [
    ["keys", "--help"],
    ["help", "keys"],
  ]) {
    const { code, stdout } = await sluice(args);
    expect(code).toBe(0);
    expect(stdout).toContain("keys revoke ID");
    expect(stdout).not.toContain("models");
  }
});

test("--version prints the version, as JSON when asked", async () => {
  expect(await sluice(["--version"])).toMatchObject({ code: 0, stdout: "1.2.3\n" });
  expect(await sluice(["-V"])).toMatchObject({ code: 0, stdout: "1.2.3\n" });
  expect(await sluice(["--version", "--json"])).toMatchObject({ stdout: '{"version":"1.2.3"}\n' });
});

test("options may come before the command", async () => {
  const { url, requests } = await fakeServer(() => ({ body: { object: "list", data: [], has_more: false } }));
  const { code, stdout } = await sluice(["--json", "--url", url, "--admin-key=k", "keys", "list"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ data: [] });
  expect(requests[0]?.authorization).toBe("Bearer k");
});

test("an SDK's base URL, with /v1 or a slash at its end, is the same server", async () => {
  const { url, requests } = await fakeServer(() => ({ body: { object: "list", data: [], has_more: false } }));
  for (const end of ["/v1", "/v1/", "/"]) await sluice(["keys", "list", "--url", url + end, "--admin-key", "k"]);
  expect(new Set(requests.map((request) => request.url))).toEqual(new Set(["/admin/v1/keys?limit=100"]));
  expect(requests).toHaveLength(3);
});

test("a fault of our own is not dressed up as the user's", async () => {
  const broken = { write: () => undefined };
  const world = {
    stdout: broken,
    stderr: broken,
    env: readEnvironment({ NO_COLOR: "1" }),
    cwd: "/",
    checkout: "/",
    version: "1",
    now: () => {
      throw new RangeError("a bug");
    },
    confirm: undefined,
    signal: new AbortController().signal,
  };
  await expect(run(["keys", "create", "x", "--expires", "1d"], world)).rejects.toThrow("a bug");
});
