// POST /v1/rerank as clients of Jina, Cohere, vLLM and llama-server send it, over a stand-in node.
import { Code } from "@connectrpc/connect";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { createFakeNode, typedError } from "../testing/fake-node.ts";

let edge: TestEdge;
let key: string;

beforeAll(async () => {
  edge = await createTestEdge();
  key = (await edge.createKey()).key;
});

beforeEach(() => {
  edge.node.rerank = createFakeNode().rerank;
  edge.node.rerankRequests.length = 0;
});

const body = { model: "m", query: "Which?", documents: ["first", { text: "second" }, "third"] };
const ask = (more: Record<string, unknown> = {}) => edge.post("/v1/rerank", { ...body, ...more }, key);
const errorOf = async (response: Response): Promise<unknown> => ((await response.json()) as { error: unknown }).error;

test("gives every document's place and score, the best first, and the usage", async () => {
  const response = await ask();
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({
    object: "list",
    model: "m",
    results: [
      { index: 2, relevance_score: 0.375 },
      { index: 1, relevance_score: 0.25 },
      { index: 0, relevance_score: 0.125 },
    ],
    usage: { prompt_tokens: 15, total_tokens: 15 },
  });
  expect(edge.node.rerankRequests).toMatchObject([
    { model: "m", query: "Which?", documents: ["first", "second", "third"], topN: 0, truncate: false },
  ]);
});

test("top_n, truncate and the documents' texts are honoured", async () => {
  const response = await ask({ top_n: 2, truncate: true, return_documents: true });
  const { results } = (await response.json()) as { results: unknown };
  expect(results).toEqual([
    { index: 2, relevance_score: 0.375, document: { text: "third" } },
    { index: 1, relevance_score: 0.25, document: { text: "second" } },
  ]);
  expect(edge.node.rerankRequests).toMatchObject([{ topN: 2, truncate: true }]);
});

test("null is absent, and a top_n above the number of documents gives all", async () => {
  const response = await ask({ top_n: 9, return_documents: null, truncate: null });
  expect(((await response.json()) as { results: unknown[] }).results).toHaveLength(3);
});

test("both paths need a key, take POST only, and list what they ignored", async () => {
  for (const path of ["/v1/rerank", "/rerank"]) {
    expect((await edge.post(path, body, "")).status).toBe(401);
    expect((await edge.fetch(path, { headers: { authorization: `Bearer ${key}` } })).status).toBe(405);
    const answer = await edge.post(path, { ...body, frob: 1 }, key);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-sluice-ignored")).toBe("frob");
  }
});

test("what the edge refuses never reaches the node", async () => {
  const refused = await ask({ documents: [] });
  expect(refused.status).toBe(400);
  expect(await errorOf(refused)).toMatchObject({ param: "documents", type: "invalid_request_error" });
  expect(edge.node.rerankRequests).toEqual([]);
});

test.each([
  ["documents[1]", /holds 256 tokens. The document and the query have 300 tokens/],
  ["query", /holds 256 tokens. The query has, with what stands around it, 300 tokens/],
])("%s that is too long is a 400 with both numbers and its place", async (param, message) => {
  edge.node.rerank = async () => {
    const metadata = { param, context_length: "256", prompt_tokens: "300", max_tokens: "0" };
    throw typedError(Code.OutOfRange, "Too long.", { metadata });
  };
  const refused = await ask();
  expect(refused.status).toBe(400);
  expect(await errorOf(refused)).toMatchObject({
    code: "context_length_exceeded",
    param,
    message: expect.stringMatching(message),
  });
});

test.each([
  [Code.NotFound, 404, "model_not_found", "model"],
  [Code.Unimplemented, 400, "unsupported_parameter", "model"],
  [Code.Unavailable, 503, "overloaded", null],
  [Code.ResourceExhausted, 503, "overloaded", null],
])("status %d of the node is an HTTP %d", async (code, status, openaiCode, param) => {
  edge.node.rerank = async () => {
    throw typedError(code, "No.", { metadata: param === null ? {} : { param }, retryAfterMs: 1_000 });
  };
  const answer = await ask();
  expect(answer.status).toBe(status);
  expect(await errorOf(answer)).toMatchObject({ code: openaiCode, param });
});
