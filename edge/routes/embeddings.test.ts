// POST /v1/embeddings by the stock OpenAI client, over a stand-in node.
import { Code } from "@connectrpc/connect";
import OpenAI from "openai";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { createFakeNode, typedError } from "../testing/fake-node.ts";
import { HeldClock } from "../testing/held-clock.ts";

let edge: TestEdge;
let key: string;
let client: OpenAI;

beforeAll(async () => {
  edge = await createTestEdge();
  key = (await edge.createKey()).key;
  const path = (input: RequestInfo | URL) => new URL(input instanceof Request ? input.url : input);
  const fetch = (input: RequestInfo | URL, init?: RequestInit) => edge.fetch(path(input).pathname, init);
  const settings = { apiKey: key, baseURL: "http://edge.test/v1", maxRetries: 0 };
  client = new OpenAI({ ...settings, fetch: fetch as typeof globalThis.fetch });
});

beforeEach(() => {
  edge.node.embed = createFakeNode().embed;
  edge.node.embedRequests.length = 0;
});

const values = [0.6, -0.8, 0].map(Math.fround);

test("the client's own default, base64, gives the vectors", async () => {
  const { data, usage, model } = await client.embeddings.create({ model: "m", input: ["dog", "cat"] });
  expect(data.map(({ embedding }) => embedding)).toEqual([values, [...values.slice(0, 2), 1]]);
  expect(data.map(({ index }) => index)).toEqual([0, 1]);
  expect({ usage, model }).toEqual({ usage: { prompt_tokens: 6, total_tokens: 6 }, model: "m" });
  expect(edge.node.embedRequests[0]?.inputs.map(({ input }) => input.value)).toEqual(["dog", "cat"]);
});

test("floats, ids and dimensions are honoured", async () => {
  const request = { model: "m", input: [[1, 2]], dimensions: 3, encoding_format: "float" as const };
  const { data } = await client.embeddings.create(request);
  expect(data[0]?.embedding).toEqual([0.6, -0.8, 0].map((value) => Number(Math.fround(value).toPrecision(9))));
  expect(edge.node.embedRequests[0]).toMatchObject({ dimensions: 3, inputs: [{ input: { case: "tokens" } }] });
});

test("both paths need a key, take POST only, and list what they ignored", async () => {
  for (const path of ["/v1/embeddings", "/embeddings"]) {
    expect((await edge.post(path, { model: "m", input: "dog" }, "")).status).toBe(401);
    expect((await edge.fetch(path, { headers: { authorization: `Bearer ${key}` } })).status).toBe(405);
    const answer = await edge.post(path, { model: "m", input: "dog", frob: 1 }, key);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-sluice-ignored")).toBe("frob");
  }
});

test("an input that is too long is a 400 with both numbers and the input's place", async () => {
  edge.node.embed = async () => {
    const metadata = { param: "inputs[1]", context_length: "256", prompt_tokens: "300", max_tokens: "0" };
    throw typedError(Code.OutOfRange, "inputs[1] has 300 tokens, but the model takes at most 256.", { metadata });
  };
  const refused = client.embeddings.create({ model: "m", input: ["dog", "long"] });
  await expect(refused).rejects.toMatchObject({
    status: 400,
    code: "context_length_exceeded",
    param: "input[1]",
    message: expect.stringMatching(/holds 256 tokens. The input has 300 tokens/),
  });
});

test.each([
  [Code.NotFound, 404, "model_not_found", "model"],
  [Code.Unimplemented, 400, "unsupported_parameter", "model"],
  [Code.Unavailable, 503, "overloaded", null],
  [Code.ResourceExhausted, 503, "overloaded", null],
])("status %d of the node is an HTTP %d", async (code, status, openaiCode, param) => {
  edge.node.embed = async () => {
    throw typedError(code, "No.", { metadata: param === null ? {} : { param }, retryAfterMs: 1_000 });
  };
  const answer = await edge.post("/v1/embeddings", { model: "m", input: "dog" }, key);
  expect(answer.status).toBe(status);
  expect((await answer.json<{ error: unknown }>()).error).toMatchObject({ code: openaiCode, param });
  if (status === 503) expect(answer.headers.get("retry-after")).toBe("1");
});

test("a long list is answered late under a head that went out early, or with an error's body", async () => {
  const clock = new HeldClock();
  const slow = await createTestEdge({ clock });
  const { key: slowKey } = await slow.createKey();
  const gate = Promise.withResolvers<void>();
  slow.node.embed = async () => {
    await gate.promise;
    throw typedError(Code.Unavailable, "The engine died.", {});
  };
  const answering = slow.post("/v1/embeddings", { model: "m", input: "dog" }, slowKey);
  await expect.poll(() => slow.node.embedRequests.length).toBe(1);
  await clock.advance(10_000);
  const answer = await answering;
  expect(answer.status).toBe(200);
  gate.resolve();
  const text = await answer.text();
  expect(text).toMatch(/^ +\{/);
  expect(JSON.parse(text)).toMatchObject({ error: { code: "overloaded", message: "The engine died." } });
});
