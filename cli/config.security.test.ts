// Keys go to the server they belong to, and a stranger's dev.json is not believed.
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { connect, readEnvironment } from "./config.ts";

const dev = { url: "http://127.0.0.1:8787", adminKey: "dev-admin", apiKey: "dev-api" };
let dir = "";

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sluice-cli-"));
  await mkdir(join(dir, ".sluice"), { mode: 0o700 });
  await writeFile(join(dir, ".sluice/dev.json"), JSON.stringify(dev), { mode: 0o600 });
  return () => rm(dir, { recursive: true, force: true });
});

test("another server is not told the keys of the local one", () => {
  expect(connect({ url: "https://api.example.com" }, readEnvironment({}), [dir])).toEqual({
    url: "https://api.example.com",
    adminKey: undefined,
    apiKey: undefined,
  });
  const elsewhere = readEnvironment({ SLUICE_URL: "http://127.0.0.1:8788" });
  expect(connect({}, elsewhere, [dir]).adminKey).toBeUndefined();
});

test("a dev.json that others may write is not believed", async () => {
  await chmod(join(dir, ".sluice/dev.json"), 0o666);
  expect(connect({}, readEnvironment({}), [dir]).url).toBeUndefined();
});

test("a dev.json in a folder that others may write is not believed", async () => {
  await chmod(join(dir, ".sluice"), 0o777);
  expect(connect({}, readEnvironment({}), [dir]).url).toBeUndefined();
});

test("a dev.json behind a link is not believed", async () => {
  const real = await mkdtemp(join(tmpdir(), "sluice-cli-real-"));
  onTestFinished(() => rm(real, { recursive: true, force: true }));
  await rename(join(dir, ".sluice/dev.json"), join(real, "dev.json"));
  await symlink(join(real, "dev.json"), join(dir, ".sluice/dev.json"));
  expect(connect({}, readEnvironment({}), [dir]).url).toBeUndefined();
});
