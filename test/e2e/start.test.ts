// `npm start` as a newcomer meets it: what it writes and prints, and that its state outlives it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { treeOf } from "../support/process-tree.ts";
import { type Dev, type Stack, startStack } from "../support/stack.ts";

const stateDir = mkdtempSync(join(tmpdir(), "sluice-start-"));
let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted", stateDir });
});

afterAll(async () => {
  await stack?.stop();
  rmSync(stateDir, { recursive: true, force: true });
});

function models(url: string, key: string): Promise<Response> {
  return fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
}

describe("a running start", () => {
  test("describes itself in dev.json, for this user's eyes only", () => {
    const path = join(stateDir, "dev.json");
    const dev = JSON.parse(readFileSync(path, "utf8")) as Dev;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(stateDir).mode & 0o777).toBe(0o700);
    expect(dev).toEqual({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      apiKey: expect.stringMatching(/^sk-sluice-[\w-]{43}$/),
      adminKey: expect.stringMatching(/^sk-sluice-[\w-]{43}$/),
      node: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      nodeWeb: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      nodeSecret: expect.stringMatching(/^[0-9a-f]{64}$/),
      model: "scripted",
      pids: { start: expect.any(Number), node: expect.any(Number), runtime: null, edge: expect.any(Number) },
    });
  });

  test("keeps every file with a secret from other users", () => {
    for (const name of ["secrets.json", "edge.env", "logs/node.log", "logs/edge.log"]) {
      expect(statSync(join(stateDir, name)).mode & 0o077, name).toBe(0);
    }
  });

  test("shows no secret on any command line", () => {
    const { nodeSecret, keyPepper, adminKey } = JSON.parse(readFileSync(join(stateDir, "secrets.json"), "utf8"));
    const commands = treeOf(stack.pids.start).map((row) => row.command);
    expect(commands.length).toBeGreaterThan(3);
    for (const secret of [nodeSecret, keyPepper, adminKey, stack.apiKey]) {
      expect(commands.filter((command) => command.includes(secret))).toEqual([]);
    }
  });

  test("prints a line that streams an answer when pasted into bash", () => {
    const line = stack
      .output()
      .split("\n")
      .find((text) => text.startsWith("curl "));
    const answer = execFileSync("bash", ["-c", `${line} --silent`], { encoding: "utf8" });
    const deltas = answer
      .split("\n")
      .filter((text) => text.startsWith("data: {"))
      .map((text) => JSON.parse(text.slice(6)).choices[0]?.delta.content ?? "");
    expect(deltas.join("")).toContain("What is the capital of France?");
    expect(answer.trimEnd().endsWith("data: [DONE]")).toBe(true);
  });

  test("prints the URL and both keys as they are in dev.json", () => {
    for (const text of [`${stack.url}/v1`, stack.apiKey, stack.adminKey]) expect(stack.output()).toContain(text);
  });
});

describe("a second start on the same state", () => {
  test("hands out the same keys, which still work, and drops its description when it ends", async () => {
    const { apiKey, adminKey } = stack;
    await stack.stop();
    expect(() => statSync(join(stateDir, "dev.json"))).toThrow(/ENOENT/);
    stack = await startStack({ runtime: "scripted", stateDir });
    expect([stack.apiKey, stack.adminKey]).toEqual([apiKey, adminKey]);
    expect((await models(stack.url, apiKey)).status).toBe(200);
    expect(stack.output()).not.toMatch(/migrations? applied/);
  });

  test("replaces an API key that was revoked", async () => {
    const admin = { authorization: `Bearer ${stack.adminKey}` };
    const listed = await (await fetch(`${stack.url}/admin/v1/keys`, { headers: admin })).json();
    const [id] = (listed as { data: { id: string }[] }).data.map((key) => key.id);
    expect((await fetch(`${stack.url}/admin/v1/keys/${id}`, { method: "DELETE", headers: admin })).ok).toBe(true);
    const revoked = stack.apiKey;
    await stack.stop();
    stack = await startStack({ runtime: "scripted", stateDir });
    expect(stack.apiKey).not.toBe(revoked);
    expect((await models(stack.url, stack.apiKey)).status).toBe(200);
    expect((await models(stack.url, revoked)).status).toBe(401);
  });
});
