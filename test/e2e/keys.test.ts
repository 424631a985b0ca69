// The life of a key on the real stack: made, listed, used, expired, revoked, over HTTP and by the command line.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCommand } from "../support/command.ts";
import { type Answer, fetchRaw } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted" });
});

afterAll(() => stack?.stop());

interface Key {
  id: string;
  key: string;
  prefix: string;
  name: string;
  created_at: number;
  expires_at: number | null;
  revoked_at?: number | null;
}

function admin(method: string, path = "", body?: object): Promise<Answer> {
  const ask = { method, key: stack.adminKey, ...(body === undefined ? {} : { body }) };
  return fetchRaw(`${stack.url}/admin/v1/keys${path}`, ask);
}

async function createKey(body: Record<string, unknown>): Promise<Key> {
  const answer = await admin("POST", "", body);
  expect(answer.status).toBe(201);
  return JSON.parse(answer.text);
}

async function listKeys(): Promise<Key[]> {
  return JSON.parse((await admin("GET", "?limit=100")).text).data;
}

const use = async (key: string): Promise<number> => (await fetchRaw(`${stack.url}/v1/models`, { key })).status;

/** Runs `sluice keys ...` with --json; gives what it printed. */
async function sluice(...args: string[]): Promise<{ code: number; value: Record<string, unknown> }> {
  const options = ["--json", "--url", stack.url, "--admin-key", stack.adminKey];
  const { code, output } = await runCommand(process.execPath, ["cli/sluice.mjs", "keys", ...args, ...options], {
    signal: AbortSignal.timeout(20_000),
  });
  return { code, value: JSON.parse(output) };
}

async function expectUnauthenticated(key: string): Promise<void> {
  const { status, text } = await fetchRaw(`${stack.url}/v1/models`, { key });
  expect([status, JSON.parse(text).error]).toEqual([
    401,
    { message: expect.any(String), type: "invalid_request_error", param: null, code: "invalid_api_key" },
  ]);
}

describe("over HTTP", () => {
  test("a key is shown once, works at once, and is listed without itself", async () => {
    const made = await createKey({ name: "laptop" });
    expect(made).toMatchObject({
      id: expect.stringMatching(/^key_/),
      key: expect.stringMatching(/^sk-sluice-[\w-]{43}$/),
      name: "laptop",
      expires_at: null,
    });
    expect(made.key.startsWith(made.prefix.replace("…", ""))).toBe(true);
    expect(Math.abs(made.created_at - Date.now() / 1_000)).toBeLessThan(60);
    expect(await use(made.key)).toBe(200);
    const { text } = await admin("GET");
    expect(text).toContain(made.id);
    expect(text).not.toContain(made.key);
    expect(text).not.toContain("hash");
  });

  test("a revoked key is refused from the next request on, by every path; the others go on", async () => {
    const [kept, lost] = [await createKey({ name: "kept" }), await createKey({ name: "lost" })];
    expect([await use(kept.key), await use(lost.key)]).toEqual([200, 200]);
    const revoked = await admin("DELETE", `/${lost.id}`);
    expect([revoked.status, JSON.parse(revoked.text)]).toMatchObject([200, { id: lost.id, deleted: true }]);
    await expectUnauthenticated(lost.key);
    for (const path of ["/v1/chat/completions", "/chat/completions"]) {
      const { status } = await fetchRaw(stack.url + path, { key: lost.key, body: {} });
      expect(status).toBe(401);
    }
    expect(await use(kept.key)).toBe(200);
    expect((await listKeys()).find(({ id }) => id === lost.id)?.revoked_at).toEqual(expect.any(Number));
    expect((await admin("DELETE", `/${lost.id}`)).status).toBe(200);
  });

  test("a key works until the very second of its expiry and not in it", async () => {
    const expiresAt = Math.floor(Date.now() / 1_000) + 3;
    const made = await createKey({ name: "short", expires_at: expiresAt });
    expect(made.expires_at).toBe(expiresAt);
    await sleep(expiresAt * 1_000 - 300 - Date.now());
    expect(await use(made.key)).toBe(200);
    await sleep(expiresAt * 1_000 + 5 - Date.now());
    await expectUnauthenticated(made.key);
  });

  test.each<[unknown, string]>([
    [{}, "name"],
    [{ name: "" }, "name"],
    [{ name: "  " }, "name"],
    [{ name: 5 }, "name"],
    [{ name: "x".repeat(129) }, "name"],
    [{ name: "a\u0000b" }, "name"],
    [{ name: "k", expires_at: 1 }, "expires_at"],
    [{ name: "k", expires_at: Date.now() + 1e6 }, "expires_at"],
    [{ name: "k", expires_at: "tomorrow" }, "expires_at"],
  ])("what is wrong in a new key is named: %j", async (body, param) => {
    const { status, text } = await admin("POST", "", body as object);
    expect([status, JSON.parse(text).error.param]).toEqual([400, param]);
  });

  test("a key that never was cannot be revoked", async () => {
    const { status, text } = await admin("DELETE", "/key_nope");
    expect([status, JSON.parse(text).error.type]).toEqual([404, "invalid_request_error"]);
  });
});

describe("by the command line", () => {
  test("a key is made, listed and revoked", async () => {
    const made = await sluice("create", "from the shell", "--expires", "1h");
    expect(made.code).toBe(0);
    const { id, key, expires_at: expiresAt } = made.value as unknown as Key;
    expect(await use(key)).toBe(200);
    expect(Math.abs((expiresAt ?? 0) - Date.now() / 1_000 - 3_600)).toBeLessThan(60);

    const listed = await sluice("list");
    expect(listed.code).toBe(0);
    expect(listed.value.data).toEqual(
      expect.arrayContaining([expect.objectContaining({ id, name: "from the shell" })]),
    );
    expect(JSON.stringify(listed.value)).not.toContain(key);

    const revoked = await sluice("revoke", id);
    expect(revoked).toMatchObject({ code: 0, value: { id, deleted: true } });
    await expectUnauthenticated(key);
  });

  test("a failure is JSON too, and an exit code", async () => {
    const { code, value } = await sluice("revoke", "key_nope");
    expect(code).not.toBe(0);
    expect(value).toMatchObject({ error: { message: expect.any(String) } });
  });
});

test("fifty keys made at once are fifty, and every one is on the pages of the list", async () => {
  const made = await Promise.all(Array.from({ length: 50 }, (_, index) => createKey({ name: `bulk ${index}` })));
  expect(new Set(made.map(({ key }) => key)).size).toBe(50);
  const seen: string[] = [];
  for (let after = ""; ; ) {
    const page = JSON.parse((await admin("GET", `?limit=7${after}`)).text);
    seen.push(...page.data.map(({ id }: Key) => id));
    if (!page.has_more) break;
    after = `&after=${page.last_id}`;
  }
  expect(new Set(seen).size).toBe(seen.length);
  for (const { id } of made) expect(seen).toContain(id);
});
