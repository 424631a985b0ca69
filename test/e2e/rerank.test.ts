// A reranker beside a model that generates, behind one API: documents come back in order, and each model does its own.
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { knownHead, type ModelFolder, modelFolder, rerankerChanges } from "../support/reranker-model.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

let stack: Stack;
let folder: ModelFolder;

beforeAll(async () => {
  folder = await modelFolder();
  const env = {
    SLUICE_SEQUENCES: "2",
    SLUICE_CONTEXT_LENGTH: "1024",
    SLUICE_EMBEDDING_MODEL: folder.write("reranker", rerankerChanges(knownHead())),
  };
  stack = await startStack({ runtime: "llama", env });
});

afterAll(async () => {
  await stack?.stop();
  folder?.remove();
});

interface Answer {
  results: { index: number; relevance_score: number; document?: { text: string } }[];
  usage: { prompt_tokens: number; total_tokens: number };
  error?: { code: string; param: string; message: string };
}

async function post(path: string, body: object): Promise<{ status: number; answer: Answer }> {
  const response = await fetch(`${stack.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${stack.apiKey}` },
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: (await response.json()) as Answer };
}
const rerank = (more: object = {}) =>
  post("/v1/rerank", {
    model: "reranker",
    query: "Where is the cat?",
    documents: ["The cat sits", "dog", "A song"],
    ...more,
  });

test("documents come back best first, once the model is loaded", async () => {
  await until("the reranker to be loaded", async () => (await rerank()).status === 200);
  const { answer } = await rerank({ top_n: 2, return_documents: true });
  const [best, next] = answer.results;
  expect(answer.results).toHaveLength(2);
  expect(best?.relevance_score).toBeGreaterThanOrEqual(next?.relevance_score ?? 1);
  expect(best?.document?.text).toBe(["The cat sits", "dog", "A song"][best?.index ?? 9]);
  expect(answer.usage.total_tokens).toBe(answer.usage.prompt_tokens);
  expect(answer.usage.prompt_tokens).toBeGreaterThan(20);
});

test("what is too long is refused by its place, or cut", async () => {
  const documents = ["dog", "word ".repeat(400)];
  const refused = await rerank({ documents });
  expect(refused.status).toBe(400);
  expect(refused.answer.error).toMatchObject({ code: "context_length_exceeded", param: "documents[1]" });
  expect(refused.answer.error?.message).toMatch(/holds 256 tokens. The document and the query have 4\d\d tokens/);
  expect((await rerank({ documents, truncate: true })).answer.results).toHaveLength(2);
});

test("what a model is not made for is refused by the parameter's name", async () => {
  const refusal = { status: 400, answer: { error: { code: "unsupported_parameter", param: "model" } } };
  expect(await rerank({ model: DEFAULT_MODEL })).toMatchObject(refusal);
  expect(await post("/v1/embeddings", { model: "reranker", input: "dog" })).toMatchObject(refusal);
  const messages = [{ role: "user", content: "Hi" }];
  expect((await post("/v1/chat/completions", { model: "reranker", messages })).status).toBe(400);
});
