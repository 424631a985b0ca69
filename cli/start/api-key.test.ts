// The printed key works: kept while the edge takes it, replaced when it is refused, and only then.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureApiKey } from "./api-key.ts";

const never = new AbortController().signal;
let server: Server;
let url: string;
let modelsStatus: number;
let createStatus: number;
let requests: string[];

beforeEach(async () => {
  modelsStatus = 200;
  createStatus = 201;
  requests = [];
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    if (request.method === "GET") response.writeHead(modelsStatus).end("{}");
    else response.writeHead(createStatus).end('{"key":"sk-sluice-new"}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => server.close());

test("a saved key that works is kept, and no other is made", async () => {
  expect(await ensureApiKey({ url, adminKey: "admin", saved: "old" }, never)).toBe("old");
  expect(requests).toEqual(["GET /v1/models Bearer old"]);
});

test.each([401, 403])("a saved key that is refused with %d is replaced, by the admin key", async (status) => {
  modelsStatus = status;
  expect(await ensureApiKey({ url, adminKey: "admin", saved: "old" }, never)).toBe("sk-sluice-new");
  expect(requests).toEqual(["GET /v1/models Bearer old", "POST /admin/v1/keys Bearer admin"]);
});

test("a node in trouble is no reason to replace a key", async () => {
  modelsStatus = 503;
  expect(await ensureApiKey({ url, adminKey: "admin", saved: "old" }, never)).toBe("old");
});

test("without a saved key one is made", async () => {
  expect(await ensureApiKey({ url, adminKey: "admin", saved: undefined }, never)).toBe("sk-sluice-new");
});

test("an edge that makes no key is a sentence with its answer", async () => {
  createStatus = 500;
  await expect(ensureApiKey({ url, adminKey: "admin", saved: undefined }, never)).rejects.toThrow(
    'The edge made no API key: it answered 500 {"key":"sk-sluice-new"}',
  );
});

test("a stop ends the wait", async () => {
  const stop = AbortSignal.abort();
  await expect(ensureApiKey({ url, adminKey: "admin", saved: undefined }, stop)).rejects.toThrow(/abort/i);
});
