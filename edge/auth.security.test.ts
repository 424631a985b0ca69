// Who gets in: nobody without the right key, and no key where it does not belong.
import { beforeAll, describe, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "./testing/edge.ts";
import { HeldClock } from "./testing/held-clock.ts";
import { testBindings } from "./testing/test-bindings.ts";

let clock: HeldClock;
let edge: TestEdge;

beforeAll(async () => {
  clock = new HeldClock();
  edge = await createTestEdge({ clock });
});

const withAuthorization = (value: string, path = "/v1/models") =>
  edge.fetch(path, { headers: { authorization: value } });
const models = (key: string) => withAuthorization(`Bearer ${key}`);

async function expectRefused(response: Response): Promise<void> {
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toBe("Bearer");
  expect(response.headers.get("x-should-retry")).toBe("false");
  expect(await response.json()).toEqual({
    error: { message: expect.any(String), type: "invalid_request_error", param: null, code: "invalid_api_key" },
  });
}

describe("no usable key", () => {
  test("in a request without Authorization is refused", async () => {
    await expectRefused(await edge.fetch("/v1/models"));
    await expectRefused(await edge.post("/v1/chat/completions", {}, ""));
    await expectRefused(await edge.fetch("/admin/v1/keys"));
  });

  test.each([
    "",
    "Bearer",
    "Bearer ",
    "Bearer    ",
    "bearer",
    "Basic dXNlcjpwYXNz",
    "sk-sluice-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "Bearer sk-other-key",
    "Bearer sk-sluice-",
    `Bearer sk-sluice-${"A".repeat(43)}`,
    `Bearer sk-sluice-${"A".repeat(44)}`,
    `Bearer ${"x".repeat(100_000)}`,
    "Bearer a b",
    "Bearer \u00fc\u00e9\u00ff",
    "Bearer null",
    "Bearer undefined",
    "Bearer ' OR 1=1 --",
  ])("in %j is refused", async (value) => {
    await expectRefused(await withAuthorization(value));
  });

  test("in two Authorization headers is refused, even when both are right", async () => {
    const { key } = await edge.createKey();
    const headers = new Headers();
    headers.append("authorization", `Bearer ${key}`);
    headers.append("authorization", `Bearer ${key}`);
    await expectRefused(await edge.fetch("/v1/models", { headers }));
  });

  test("says the same whether a key never was, was revoked or has expired", async () => {
    const revoked = await edge.createKey();
    await edge.fetch(`/admin/v1/keys/${revoked.id}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${edge.adminKey}` },
    });
    const expired = await edge.createKey({ expires_at: Math.floor(clock.now() / 1000) + 1 });
    await clock.advance(1000);
    const texts = await Promise.all(
      [revoked.key, expired.key, `sk-sluice-${"B".repeat(43)}`].map(async (key) => (await models(key)).text()),
    );
    expect(new Set(texts).size).toBe(1);
  });
});

describe("a good key", () => {
  test.each([
    ["Bearer ", ""],
    ["bearer ", ""],
    ["BEARER   ", ""],
    ["Bearer ", "  "],
  ])("gets in after %j", async (scheme, end) => {
    const { key } = await edge.createKey();
    expect((await withAuthorization(`${scheme}${key}${end}`)).status).toBe(200);
  });

  test("is refused from the very second of its expiry on, also when it was just used", async () => {
    const expiresAt = Math.floor(clock.now() / 1000) + 10;
    const { key } = await edge.createKey({ expires_at: expiresAt });
    await clock.advance(expiresAt * 1000 - 1 - clock.now());
    expect((await models(key)).status).toBe(200);
    await clock.advance(1);
    await expectRefused(await models(key));
  });

  test("is refused at once after it was revoked, also when it was just used", async () => {
    const { key, id } = await edge.createKey();
    expect((await models(key)).status).toBe(200);
    await edge.fetch(`/admin/v1/keys/${id}`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${edge.adminKey}` },
    });
    await expectRefused(await models(key));
  });

  test("is refused within a second after another isolate revoked it", async () => {
    const { key, id } = await edge.createKey();
    expect((await models(key)).status).toBe(200);
    await testBindings.DB.prepare("UPDATE api_keys SET revoked_at = 1 WHERE id = ?").bind(id).run();
    await clock.advance(999);
    await expectRefused(await models(key));
  });
});

describe("the wrong kind of key", () => {
  test("is a 403: the admin key on the API", async () => {
    const response = await models(edge.adminKey);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ error: { type: "permission_error", param: null, code: null } });
    expect((await edge.post("/v1/chat/completions", {}, edge.adminKey)).status).toBe(403);
  });

  test("is a 403: an API key on the admin routes", async () => {
    const { key, id } = await edge.createKey();
    const headers = { authorization: `Bearer ${key}` };
    expect((await edge.fetch("/admin/v1/keys", { headers })).status).toBe(403);
    expect((await edge.post("/admin/v1/keys", { name: "x" }, key)).status).toBe(403);
    expect((await edge.fetch(`/admin/v1/keys/${id}`, { method: "DELETE", headers })).status).toBe(403);
    expect((await models(key)).status).toBe(200);
  });
});

test("the database holds no key, and its hash needs the pepper", async () => {
  const { key } = await edge.createKey();
  const { results } = await testBindings.DB.prepare("SELECT * FROM api_keys").all();
  expect(JSON.stringify(results)).not.toContain(key);
  const bare = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key)));
  const hex = [...bare].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  expect(JSON.stringify(results)).not.toContain(hex);
  const other = await createTestEdge({ clock, bindings: { SLUICE_KEY_PEPPER: "another pepper, of sixteen" } });
  await expectRefused(await other.fetch("/v1/models", { headers: { authorization: `Bearer ${key}` } }));
});

test("every row of the table carries the default project", async () => {
  const { id } = await edge.createKey();
  const row = await testBindings.DB.prepare("SELECT project_id FROM api_keys WHERE id = ?").bind(id).first();
  expect(row).toEqual({ project_id: "prj_default" });
});
