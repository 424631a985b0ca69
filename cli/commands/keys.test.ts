// `sluice keys` against a server that speaks the admin API.
import { expect, test } from "vitest";
import { fakeServer, NOW_MS, type ServerRequest, sluice } from "../testing/fake-world.ts";

const day = 86_400;
const nowSeconds = NOW_MS / 1000;

function keyRow(id: string, more: Record<string, unknown> = {}) {
  const times = { created_at: nowSeconds - day, expires_at: null, revoked_at: null };
  return { id, object: "api_key", name: `name of ${id}`, prefix: "sk-sluice-AbCd…", ...times, ...more };
}

async function adminServer(rows: readonly Record<string, unknown>[] = []) {
  const server = await fakeServer(({ method, url, body }: ServerRequest) => {
    if (method === "POST")
      return { status: 201, body: { ...keyRow("key_1"), ...(body as object), key: "sk-sluice-secret" } };
    if (method === "DELETE") return { body: { ...keyRow("key_1", { revoked_at: nowSeconds }), deleted: true } };
    const after = new URL(url, "http://server").searchParams.get("after");
    const from = after === null ? 0 : rows.findIndex((row) => row.id === after) + 1;
    return { body: { object: "list", data: rows.slice(from, from + 2), has_more: from + 2 < rows.length } };
  });
  return { ...server, env: { SLUICE_URL: server.url, SLUICE_ADMIN_KEY: "sk-sluice-admin" } };
}

test("create sends name and expiry with the admin key, and prints the key alone on stdout", async () => {
  const { env, requests } = await adminServer();
  const { code, stdout, stderr } = await sluice(["keys", "create", "ci", "--expires", "30d"], { env });
  expect(code).toBe(0);
  expect(stdout).toBe("sk-sluice-secret\n");
  expect(stderr).toContain('Made key_1 "ci", which expires 2026-12-25 12:00 UTC.');
  expect(stderr).toContain("it is not shown again");
  expect(requests).toEqual([
    {
      method: "POST",
      url: "/admin/v1/keys",
      authorization: "Bearer sk-sluice-admin",
      body: { name: "ci", expires_at: nowSeconds + 30 * day },
    },
  ]);
});

test("a key without --expires never expires", async () => {
  const { env, requests } = await adminServer();
  const { stderr } = await sluice(["keys", "create", "ci"], { env });
  expect(requests[0]?.body).toEqual({ name: "ci" });
  expect(stderr).toContain("which never expires");
});

test("create --json prints the server's answer and nothing else", async () => {
  const { env } = await adminServer();
  const { stdout, stderr } = await sluice(["keys", "create", "ci", "--json"], { env });
  expect(JSON.parse(stdout)).toMatchObject({ id: "key_1", key: "sk-sluice-secret", name: "ci", expires_at: null });
  expect(stderr).toBe("");
});

test("list joins all pages and aligns its columns", async () => {
  const rows = [
    keyRow("key_3"),
    keyRow("key_22", { name: "a longer name", expires_at: nowSeconds + day }),
    keyRow("key_1", { expires_at: nowSeconds }),
    keyRow("key_0", { revoked_at: nowSeconds - 1 }),
    keyRow("key_00"),
  ];
  const { env, requests } = await adminServer(rows);
  const { code, stdout } = await sluice(["keys", "list"], { env });
  expect(code).toBe(0);
  expect(stdout.split("\n").map((line) => line.replace(/ {2,}/g, " | "))).toEqual([
    "ID | NAME | KEY | CREATED | EXPIRES | STATE",
    "key_3 | name of key_3 | sk-sluice-AbCd… | 2026-11-24 12:00 UTC | never | active",
    "key_22 | a longer name | sk-sluice-AbCd… | 2026-11-24 12:00 UTC | 2026-11-26 12:00 UTC | active",
    "key_1 | name of key_1 | sk-sluice-AbCd… | 2026-11-24 12:00 UTC | 2026-11-25 12:00 UTC | expired",
    "key_0 | name of key_0 | sk-sluice-AbCd… | 2026-11-24 12:00 UTC | never | revoked",
    "key_00 | name of key_00 | sk-sluice-AbCd… | 2026-11-24 12:00 UTC | never | active",
    "",
  ]);
  const columns = stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => line.indexOf("sk-sluice") >= 0 && line.indexOf("sk-sluice"));
  expect(new Set(columns.slice(1)).size).toBe(1);
  expect(requests.map((request) => request.url)).toEqual([
    "/admin/v1/keys?limit=100",
    "/admin/v1/keys?limit=100&after=key_22",
    "/admin/v1/keys?limit=100&after=key_0",
  ]);
});

test("list --json is one list of all pages", async () => {
  const { env } = await adminServer([keyRow("key_3"), keyRow("key_2"), keyRow("key_1")]);
  const { stdout } = await sluice(["keys", "list", "--json"], { env });
  const value = JSON.parse(stdout);
  expect(value).toMatchObject({ object: "list", has_more: false });
  expect(value.data.map((key: { id: string }) => key.id)).toEqual(["key_3", "key_2", "key_1"]);
});

test("an empty list says how to make a key", async () => {
  const { env } = await adminServer();
  expect(await sluice(["keys", "list"], { env })).toMatchObject({
    code: 0,
    stdout: "",
    stderr: "There are no keys yet: make one with sluice keys create NAME.\n",
  });
});

test("revoke asks a person, and only a yes revokes", async () => {
  const { env, requests } = await adminServer();
  const refused = await sluice(["keys", "revoke", "key_1"], { env, answer: false });
  expect(refused).toMatchObject({ code: 1, stderr: "error: Nothing was revoked.\n" });
  expect(refused.questions).toEqual(["Revoke key_1? Whoever uses it is locked out. [y/N] "]);
  expect(requests).toEqual([]);
  expect(await sluice(["keys", "revoke", "key_1"], { env, answer: true })).toMatchObject({
    code: 0,
    stdout: "Revoked key_1.\n",
  });
  expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual(["DELETE /admin/v1/keys/key_1"]);
});

test("revoke does not ask with --yes, with --json or where nobody can answer", async () => {
  const { env, requests } = await adminServer();
  expect((await sluice(["keys", "revoke", "key_1", "--yes"], { env, answer: false })).questions).toEqual([]);
  expect((await sluice(["keys", "revoke", "key_1", "-y"], { env, answer: false })).questions).toEqual([]);
  const { stdout, questions } = await sluice(["keys", "revoke", "key_1", "--json"], { env, answer: false });
  expect(questions).toEqual([]);
  expect(JSON.parse(stdout)).toMatchObject({ id: "key_1", deleted: true });
  expect((await sluice(["keys", "revoke", "key_1"], { env })).code).toBe(0);
  expect(requests).toHaveLength(4);
});
