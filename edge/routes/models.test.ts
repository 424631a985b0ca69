// Models and health as the node tells them.
import { Code } from "@connectrpc/connect";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Capability, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { typedError } from "../testing/fake-node.ts";
import { HeldClock, settled } from "../testing/held-clock.ts";

let edge: TestEdge;
let headers: Record<string, string>;

beforeAll(async () => {
  edge = await createTestEdge();
  headers = { authorization: `Bearer ${(await edge.createKey()).key}` };
});

beforeEach(() => {
  edge.node.models = [
    {
      id: "org/model a",
      state: ModelState.READY,
      contextLength: 4096,
      ownedBy: "org",
      createdAt: { seconds: 1_700_000_000n, nanos: 0 },
      capabilities: [Capability.CHAT, Capability.STRUCTURED_OUTPUT, 99 as Capability],
      quantization: "Q4_1",
      license: "apache-2.0",
    },
    { id: "plain", state: ModelState.LOADING },
  ];
});

/** What a model's file does not say. */
const unknown = { capabilities: [], quantization: null, license: null };

describe("the models", () => {
  test.each(["/v1/models", "/models"])("are OpenAI's list at %s", async (path) => {
    const response = await edge.fetch(path, { headers });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      object: "list",
      data: [
        {
          id: "org/model a",
          object: "model",
          created: 1_700_000_000,
          owned_by: "org",
          context_length: 4096,
          capabilities: ["chat", "structured_output"],
          quantization: "Q4_1",
          license: "apache-2.0",
        },
        { id: "plain", object: "model", created: 0, owned_by: "sluice", context_length: 0, ...unknown },
      ],
    });
  });

  test.each(["/v1/models/org%2Fmodel%20a", "/v1/models/org/model%20a", "/models/org%2Fmodel%20a"])(
    "are found one by one, slashes encoded or not: %s",
    async (path) => {
      const response = await edge.fetch(path, { headers });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ id: "org/model a" });
    },
  );

  test.each(["/v1/models/nope", "/v1/models/%zz", "/v1/models/__proto__"])(
    "that are not there are 404s: %s",
    async (path) => {
      const response = await edge.fetch(path, { headers });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { param: "model", code: "model_not_found" } });
    },
  );

  test("of a node that is down are a 503", async () => {
    edge.node.models = typedError(Code.Unavailable, "Down.");
    expect((await edge.fetch("/v1/models", { headers })).status).toBe(503);
  });
});

describe("health", () => {
  test("is ready when a model is", async () => {
    const response = await edge.fetch("/readyz");
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toEqual({
      status: "ready",
      models: [
        { id: "org/model a", state: "ready" },
        { id: "plain", state: "loading" },
      ],
    });
  });

  test.each([
    ["no model is ready", [{ id: "m", state: ModelState.UNAVAILABLE }]],
    ["there is no model", []],
    [
      "only embeddings are made",
      [
        { id: "m", state: ModelState.LOADING, capabilities: [Capability.CHAT] },
        { id: "e", state: ModelState.READY, capabilities: [Capability.EMBEDDINGS] },
      ],
    ],
    ["the node does not answer", typedError(Code.Unavailable, "secret")],
  ])("is 503 when %s, while the edge still lives", async (_name, models) => {
    edge.node.models = models;
    const response = await edge.fetch("/readyz");
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ status: "unavailable" });
    expect(text).not.toContain("secret");
    expect(await (await edge.fetch("/healthz")).json()).toEqual({ status: "ok" });
  });
});

test("a node that never answers is not ready after two seconds", async () => {
  const clock = new HeldClock();
  const silent = (_input: RequestInfo, init?: RequestInit) =>
    new Promise<Response>((_, reject) => init?.signal?.addEventListener("abort", () => reject(new Error("aborted"))));
  const frozen = await createTestEdge({ clock, bindings: { NODE: { fetch: silent } as unknown as Fetcher } });
  const pending = frozen.fetch("/readyz");
  await settled();
  await clock.advance(2000);
  expect((await pending).status).toBe(503);
  expect(clock.pending).toBe(0);
});

describe("the root", () => {
  test("is a page with a curl line for a browser, safe from the address it was asked by", async () => {
    const accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    const response = await edge.fetch("/", { headers: { accept } });
    expect(response.headers.get("content-type")).toBe("text/html; charset=UTF-8");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    const page = await response.text();
    expect(page).toContain("curl http://edge.test/v1/chat/completions");
  });

  test.each([undefined, "*/*", "application/json"])("is JSON for Accept: %s", async (accept) => {
    const response = await edge.fetch("/", accept === undefined ? {} : { headers: { accept } });
    expect(response.headers.get("vary")).toContain("accept");
    expect(await response.json()).toMatchObject({ name: "sluice" });
  });
});
