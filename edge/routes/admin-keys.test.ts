// Keys made, listed and revoked by the admin.
import { beforeAll, describe, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { HeldClock } from "../testing/held-clock.ts";

let clock: HeldClock;
let edge: TestEdge;
let headers: Record<string, string>;

interface KeyPage {
  data: { id: string; name: string; revoked_at: number | null }[];
  has_more: boolean;
  first_id: string | null;
  last_id: string | null;
}

beforeAll(async () => {
  clock = new HeldClock();
  edge = await createTestEdge({ clock });
  headers = { authorization: `Bearer ${edge.adminKey}` };
});

const page = async (query = ""): Promise<KeyPage> => (await edge.fetch(`/admin/v1/keys${query}`, { headers })).json();

describe("creating a key", () => {
  test("shows the key this once, under no cache", async () => {
    const response = await edge.post("/admin/v1/keys", { name: "Ann's phone 📱" }, edge.adminKey);
    expect(response.status).toBe(201);
    expect(response.headers.get("cache-control")).toBe("no-store");
    const created = await response.json<Record<string, unknown>>();
    expect(created).toEqual({
      id: expect.stringMatching(/^key_[0-9A-Z]{26}$/),
      object: "api_key",
      name: "Ann's phone 📱",
      key: expect.stringMatching(/^sk-sluice-[A-Za-z0-9_-]{43}$/),
      prefix: expect.stringMatching(/^sk-sluice-[A-Za-z0-9_-]{4}…$/),
      project_id: "prj_default",
      created_at: Math.floor(clock.now() / 1000),
      expires_at: null,
    });
    const listed = await (await edge.fetch("/admin/v1/keys", { headers })).text();
    expect(listed).not.toContain(String(created.key));
    expect(listed).not.toContain("hash");
  });

  test.each([
    [1_900_000_000, 1_900_000_000],
    ["2030-03-17T17:46:40Z", 1_900_000_000],
    ["2030-03-17T18:46:40+01:00", 1_900_000_000],
    ["2030-03-17T17:46:40.999Z", 1_900_000_000],
    ["2030-03-17", 1_899_936_000],
    [null, null],
  ])("takes expires_at %j and gives Unix seconds", async (expires_at, expected) => {
    const response = await edge.post("/admin/v1/keys", { name: "x", expires_at }, edge.adminKey);
    expect(response.status).toBe(201);
    expect((await response.json<{ expires_at: unknown }>()).expires_at).toBe(expected);
  });

  test.each<[Record<string, unknown>, string]>([
    [{}, "name"],
    [{ name: "" }, "name"],
    [{ name: "   " }, "name"],
    [{ name: "a\nb" }, "name"],
    [{ name: "a\u0000" }, "name"],
    [{ name: "\ud800" }, "name"],
    [{ name: "x".repeat(129) }, "name"],
    [{ name: 5 }, "name"],
    [{ name: "x", expires_at: 1 }, "expires_at"],
    [{ name: "x", expires_at: -1 }, "expires_at"],
    [{ name: "x", expires_at: 1.5 }, "expires_at"],
    [{ name: "x", expires_at: 1_900_000_000_000 }, "expires_at"],
    [{ name: "x", expires_at: "tomorrow" }, "expires_at"],
    [{ name: "x", expires_at: "2030-02-30" }, "expires_at"],
    [{ name: "x", expires_at: "2030-03-17T17:46:40" }, "expires_at"],
    [{ name: "x", expires_at: "2020-01-01" }, "expires_at"],
    [{ name: "x", expires_at: true }, "expires_at"],
  ])("is refused by name: %j", async (body, param) => {
    const response = await edge.post("/admin/v1/keys", body, edge.adminKey);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", param } });
  });

  test("that would expire this very second is refused", async () => {
    const now = Math.floor(clock.now() / 1000);
    expect((await edge.post("/admin/v1/keys", { name: "x", expires_at: now }, edge.adminKey)).status).toBe(400);
    expect((await edge.post("/admin/v1/keys", { name: "x", expires_at: now + 1 }, edge.adminKey)).status).toBe(201);
  });
});

describe("listing keys", () => {
  test("goes through all of them, newest first, page by page", async () => {
    const names = ["one", "two", "three", "four", "five"];
    for (const name of names) {
      await clock.advance(5);
      await edge.createKey({ name });
    }
    const seen: string[] = [];
    let after = "";
    for (let more = true; more; ) {
      const { data, has_more, first_id, last_id } = await page(`?limit=2${after}`);
      expect(first_id).toBe(data.at(0)?.id);
      expect(last_id).toBe(data.at(-1)?.id);
      seen.push(...data.map(({ name }) => name));
      after = `&after=${last_id}`;
      more = has_more;
    }
    expect(seen.slice(0, 5)).toEqual(names.toReversed());
    expect(new Set(seen.slice(0, 5)).size).toBe(5);
    expect(seen).toHaveLength((await page("?limit=100")).data.length);
  });

  test("of nothing more is an empty page", async () => {
    expect(await page("?after=key_0")).toEqual({
      object: "list",
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });

  test.each(["0", "101", "-1", "1.5", "x", ""])("is refused for limit=%s", async (limit) => {
    const response = await edge.fetch(`/admin/v1/keys?limit=${limit}`, { headers });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: "limit" } });
  });
});

describe("revoking a key", () => {
  const revoke = (id: string) => edge.fetch(`/admin/v1/keys/${id}`, { method: "DELETE", headers });

  test("again says what it said first", async () => {
    const { id } = await edge.createKey();
    const first = await revoke(id);
    expect(first.status).toBe(200);
    const body = await first.json<{ revoked_at: number }>();
    expect(body).toMatchObject({ id, deleted: true, revoked_at: Math.floor(clock.now() / 1000) });
    await clock.advance(60_000);
    expect(await (await revoke(id)).json()).toEqual(body);
    expect((await page()).data.find((key) => key.id === id)?.revoked_at).toBe(body.revoked_at);
  });

  test.each(["key_nope", "%zz", "key_%00", "'; DROP TABLE api_keys; --"])("that never was is a 404: %s", async (id) => {
    const response = await revoke(id);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", code: null } });
  });
});
