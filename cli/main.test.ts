// The command as a process: exit codes, the real version, a reader that goes away, Ctrl-C.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { fakeServer } from "./testing/fake-world.ts";

const program = fileURLToPath(new URL("main.ts", import.meta.url));
const flags = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning", program];

function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "sluice-cli-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test("--version is package.json's, and wrong usage ends with 2", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  expect(spawnSync(process.execPath, [...flags, "--version"], { encoding: "utf8" })).toMatchObject({
    status: 0,
    stdout: `${version}\n`,
  });
  expect(spawnSync(process.execPath, [...flags, "kyes"], { encoding: "utf8" })).toMatchObject({
    status: 2,
    stdout: "",
    stderr: 'error: There is no command "kyes" (did you mean keys?): see sluice --help.\n',
  });
});

test("a reader that goes away is no failure", async () => {
  const keys = Array.from({ length: 5_000 }, (_, index) => ({
    id: `key_${index}`,
    name: "n".repeat(100),
    created_at: 0,
  }));
  const { url } = await fakeServer(() => ({ body: { object: "list", data: keys, has_more: false } }));
  const child = spawn(process.execPath, [...flags, "keys", "list", "--url", url, "--admin-key", "k"]);
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdout.once("data", () => child.stdout.destroy());
  const code = await new Promise((resolve) => child.once("exit", resolve));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s during a pull ends the download, too, and the code is %d", async (signal, code) => {
  let asked: () => void = () => undefined;
  const pulling = new Promise<void>((resolve) => {
    asked = resolve;
  });
  // A hub that never answers.
  const hub = createServer(() => asked());
  await new Promise<void>((resolve) => hub.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    hub.closeAllConnections();
    hub.close();
  });
  const endpoint = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [...flags, "models", "pull", "hf:o/r/m.gguf"], {
    env: { XDG_CACHE_HOME: temporaryFolder(), HF_ENDPOINT: endpoint },
  });
  await pulling;
  const connections = () => new Promise((resolve) => hub.getConnections((_error, count) => resolve(count)));
  expect(await connections()).toBe(1);
  child.kill(signal);
  expect(await new Promise((resolve) => child.once("close", resolve))).toBe(code);
  await expect.poll(connections).toBe(0);
});

test("Ctrl-C ends a request to a server that never answers", async () => {
  let asked: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const server = createServer(() => asked());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [...flags, "keys", "list", "--url", url, "--admin-key", "k"]);
  await waiting;
  // From the terminal and from the launcher.
  child.kill("SIGINT");
  child.kill("SIGINT");
  expect(await new Promise((resolve) => child.once("close", resolve))).toBe(130);
});

test("sluice start is the program behind npm start", () => {
  const { status, stdout } = spawnSync(process.execPath, [...flags, "start", "--help"], { encoding: "utf8" });
  expect(status).toBe(0);
  expect(stdout).toContain("--port");
});
