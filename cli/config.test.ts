// Which server and keys a command uses: flags, then the environment, then the nearest dev.json.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { connect, readEnvironment } from "./config.ts";

const dev = { url: "http://127.0.0.1:8787", adminKey: "dev-admin", apiKey: "dev-api" };

async function folderWithDev(content: unknown = dev): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "sluice-cli-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, ".sluice"), { mode: 0o700 });
  await mkdir(join(dir, "deep", "er"), { recursive: true });
  const text = typeof content === "string" ? content : JSON.stringify(content);
  await writeFile(join(dir, ".sluice", "dev.json"), text, { mode: 0o600 });
  return dir;
}

test("the dev.json of the nearest parent folder counts, then that of the checkout", async () => {
  const near = await folderWithDev();
  const far = await folderWithDev({ ...dev, url: "http://127.0.0.1:1" });
  expect(connect({}, readEnvironment({}), [join(near, "deep/er"), far])).toEqual(dev);
  expect(connect({}, readEnvironment({}), ["/", far])).toMatchObject({ url: "http://127.0.0.1:1" });
  expect(connect({}, readEnvironment({}), ["/"])).toEqual({ url: undefined, adminKey: undefined, apiKey: undefined });
});

test("a flag beats the environment, which beats the file", async () => {
  const dir = await folderWithDev();
  const env = readEnvironment({ SLUICE_ADMIN_KEY: "env-admin", SLUICE_API_KEY: "env-api" });
  expect(connect({ "admin-key": "flag-admin" }, env, [dir])).toEqual({
    url: dev.url,
    adminKey: "flag-admin",
    apiKey: "env-api",
  });
});

test("the file's keys also serve when its own URL is given, with or without a path", async () => {
  const dir = await folderWithDev();
  const env = readEnvironment({ SLUICE_URL: "http://127.0.0.1:8787/v1" });
  expect(connect({}, env, [dir])).toEqual({ ...dev, url: "http://127.0.0.1:8787/v1" });
});

test.each(["", "{", "[]", "null", '{"url":1}'])("a dev.json of %j is as good as none", async (content) => {
  const dir = await folderWithDev(content);
  expect(connect({}, readEnvironment({}), [dir]).url).toBeUndefined();
});

test("an empty variable counts as absent", () => {
  expect(readEnvironment({ SLUICE_URL: "", NO_COLOR: "" })).toMatchObject({ url: undefined, noColor: false });
  expect(readEnvironment({ NO_COLOR: "1" }).noColor).toBe(true);
  expect(readEnvironment({ TERM: "dumb" }).noColor).toBe(true);
});
