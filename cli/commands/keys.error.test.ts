// `sluice keys` called wrongly, or against a server that refuses, is absent or is something else.
import { expect, test } from "vitest";
import { fakeServer, type ServerAnswer, sluice } from "../testing/fake-world.ts";

async function serverThatSays(answer: ServerAnswer) {
  const server = await fakeServer(() => answer);
  return { ...server, env: { SLUICE_URL: server.url, SLUICE_ADMIN_KEY: "sk-sluice-admin" } };
}

const refusal = {
  error: {
    message: "The API key is missing or wrong.",
    type: "invalid_request_error",
    param: null,
    code: "invalid_api_key",
  },
};

test("the server's refusal is its own sentence with the request's id", async () => {
  const { env } = await serverThatSays({ status: 401, body: refusal });
  expect(await sluice(["keys", "list"], { env })).toMatchObject({
    code: 1,
    stdout: "",
    stderr: "error: The API key is missing or wrong. (request req_1)\n",
  });
});

test("with --json a failure is one JSON value, too", async () => {
  const { env } = await serverThatSays({ status: 401, body: refusal });
  const { code, stdout, stderr } = await sluice(["keys", "create", "x", "--json"], { env });
  expect(code).toBe(1);
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({
    error: {
      message: "The API key is missing or wrong. (request req_1)",
      code: "invalid_api_key",
      status: 401,
      request_id: "req_1",
    },
  });
});

test("an error without a code is named by its type", async () => {
  const body = {
    error: { message: "There is no key of this id.", type: "invalid_request_error", param: "id", code: null },
  };
  const { env } = await serverThatSays({ status: 404, body });
  const { stdout } = await sluice(["keys", "revoke", "key_0", "--json"], { env });
  expect(JSON.parse(stdout).error).toMatchObject({ code: "invalid_request_error", status: 404 });
});

test("no server there", async () => {
  const env = { SLUICE_URL: "http://127.0.0.1:9", SLUICE_ADMIN_KEY: "sk-sluice-admin" };
  expect(await sluice(["keys", "list"], { env })).toMatchObject({
    code: 1,
    stderr:
      "error: No server answers at http://127.0.0.1:9: start one with `npm start`, or name another with --url or SLUICE_URL.\n",
  });
});

test.each([
  ["a page of text", { body: "hello" }, "HTTP 200. (request req_1)"],
  ["a proxy's error page", { status: 502, body: "<h1>Bad gateway</h1>" }, "HTTP 502. (request req_1)"],
  ["a list", { body: [] }, "HTTP 200. (request req_1)"],
])("%s in the server's place", async (_name, answer, end) => {
  const { env, url } = await serverThatSays(answer);
  const { code, stderr } = await sluice(["keys", "list"], { env });
  expect(code).toBe(1);
  expect(stderr).toContain(
    `What answers at ${url}/admin/v1/keys?limit=100 is no Sluice server`.replace("/admin/v1/keys?limit=100", ""),
  );
  expect(stderr).toContain(end);
});

test("a redirect is named, not followed", async () => {
  const { env } = await serverThatSays({ status: 301, headers: { location: "https://new.example/" }, body: "" });
  expect((await sluice(["keys", "list"], { env })).stderr).toContain(
    "The server redirects to https://new.example/: name that one with --url.",
  );
});

test("a made key that is not shown is a failure", async () => {
  const { env } = await serverThatSays({ status: 201, body: { id: "key_1" } });
  expect((await sluice(["keys", "create", "x"], { env })).stderr).toContain("made a key and did not show it");
});

test("a server that always says there is more is not asked forever", async () => {
  const { env, requests } = await serverThatSays({ body: { object: "list", data: [], has_more: true } });
  expect((await sluice(["keys", "list"], { env })).code).toBe(0);
  expect(requests).toHaveLength(1);
});

test("no server named, and no key", async () => {
  expect(await sluice(["keys", "list"])).toMatchObject({
    code: 1,
    stderr: "error: No server is named: start one with `npm start`, or name one with --url or SLUICE_URL.\n",
  });
  expect(await sluice(["keys", "list", "--url", "http://127.0.0.1:9"])).toMatchObject({
    code: 1,
    stderr: "error: This needs the admin key: give it with --admin-key or SLUICE_ADMIN_KEY (`npm start` prints it).\n",
  });
});

test.each([
  [["keys", "create"], "sluice keys create needs NAME"],
  [["keys", "create", " "], "NAME must not be empty"],
  [["keys", "create", "a", "b"], 'sluice keys create does not take "b"'],
  [["keys", "create", "a", "--expires", "soon"], '--expires can\'t be "soon"'],
  [["keys", "create", "a", "--expires"], "--expires needs a value"],
  [["keys", "create", "a", "--json=yes"], "--json takes no value"],
  [["keys", "revoke"], "sluice keys revoke needs ID"],
  [["keys", "revoke", "sk-sluice-abc"], "That is a key, and revoke takes its id"],
  [["keys", "list", "--url", "ftp://x", "--admin-key", "k"], '"ftp://x" is no http or https URL'],
  [["keys", "list", "--url", "localhost", "--admin-key", "k"], '"localhost" is no http or https URL'],
  [["keys", "list", "--url", ""], "--url needs a value"],
  [["keys", "list", "--url", "http://127.0.0.1:9", "--admin-key", "a\nb"], "The key holds characters that no key has."],
])("%j is wrong usage", async (args, message) => {
  const { code, stdout, stderr } = await sluice(args);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toContain(message);
});
