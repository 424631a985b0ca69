// A reranker on real weights under a known head: the scores that its definition gives, and every file that can't be one.
import { getLlama, type LlamaEmbeddingContext, LlamaLogLevel, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { Capability, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { embed, embeddingRuntime } from "../support/embedding-model.ts";
import {
  headTensors,
  knownHead,
  logitOf,
  type ModelFolder,
  modelFolder,
  poolings,
  RERANKER,
  rerank,
  rerankerChanges,
  rerankerRuntime,
} from "../support/reranker-model.ts";
import { until } from "../support/wait.ts";

const head = knownHead();
const query = "Where is the cat?";
const documents = [
  "The cat sits outside",
  "A man is playing guitar",
  "naïve café — 北京",
  "How do I reset my password?",
  "A long one: ".repeat(20),
];
const [cls, sep] = [101, 102];
const uint32 = (value: number) => ({ type: "uint32", value }) as const;

let folder: ModelFolder;
let runtime: Runtime;
let entries: LogEntry[];
let vectors: LlamaEmbeddingContext;

beforeAll(async () => {
  folder = await modelFolder();
  entries = [];
  runtime = rerankerRuntime(folder.write("reranker", rerankerChanges(head)), entries);
  await runtime.start();
  // The same weights without the head: the vector that the head would see, by the package's own public way.
  const path = folder.write("vectors", { metadata: { "bert.pooling_type": uint32(poolings.cls) } });
  const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: path });
  vectors = await model.createEmbeddingContext({ contextSize: 512, batchSize: 512, threads: 1 });
}, 120_000);

afterAll(async () => {
  await runtime?.close();
  await vectors?.dispose();
  folder?.remove();
});

const idsOf = async (text: string): Promise<number[]> => [...(await runtime.tokenize(RERANKER, text, false))];
/** By the model's definition, in double precision. */
async function expectedScore(ids: readonly number[]): Promise<number> {
  const { vector } = await vectors.getEmbeddingFor([...ids] as Token[]);
  return 1 / (1 + Math.exp(-logitOf(head, vector)));
}
const pairIds = async (document: string): Promise<number[]> => {
  return [cls, ...(await idsOf(query)), sep, ...(await idsOf(document)), sep];
};

test("scores are those that the head's definition gives for [CLS] query [SEP] document [SEP]", async () => {
  const { results, promptTokens } = await rerank(runtime, documents, { query });
  const pairs = await Promise.all(documents.map(pairIds));
  const expected: number[] = [];
  for (const ids of pairs) expected.push(await expectedScore(ids));
  for (const { index, relevanceScore } of results) {
    expect(relevanceScore, documents[index]).toBeCloseTo(expected[index] ?? Number.NaN, 3);
  }
  // Else a head that is left out would not be noticed, nor a wrong order.
  expect(Math.max(...expected) - Math.min(...expected)).toBeGreaterThan(0.05);
  const order = [...expected.keys()].sort((a, b) => (expected[b] ?? 0) - (expected[a] ?? 0));
  expect(results.map(({ index }) => index)).toEqual(order);
  expect(promptTokens).toBe(pairs.reduce((sum, ids) => sum + ids.length, 0));
});

test("a special token's text in a document is text, and a cut document scores as its beginning", async () => {
  const { results } = await rerank(runtime, ["a [SEP] b"], { query });
  expect(results[0]?.relevanceScore).toBeCloseTo(await expectedScore(await pairIds("a [SEP] b")), 3);
  const room = 256 - (await pairIds("")).length;
  const words = (count: number): string => "dog ".repeat(count).trim();
  const whole = await rerank(runtime, [words(room), words(5 * room)], { query, truncate: true });
  expect(whole.promptTokens).toBe(512);
  expect(whole.results[0]?.relevanceScore).toBe(whole.results[1]?.relevanceScore);
});

test("a template is followed to the token", async () => {
  const template = "[CLS]\nJudge.\nQuery: {query}\nDocument: {document}[SEP]";
  const { metadata, tensors } = rerankerChanges(head);
  const path = folder.write("template", {
    metadata: { ...metadata, "tokenizer.chat_template.rerank": { type: "string", value: template } },
    tensors: tensors ?? [],
  });
  const asked = rerankerRuntime(path);
  try {
    await asked.start();
    const { results, promptTokens } = await rerank(asked, ["The cat sits outside"], { query });
    const text = `Judge.\nQuery: ${query}\nDocument: The cat sits outside`;
    const ids = [cls, ...(await idsOf(text)), sep];
    expect(promptTokens).toBe(ids.length);
    expect(results[0]?.relevanceScore).toBeCloseTo(await expectedScore(ids), 3);
  } finally {
    await asked.close();
  }
});

test("an older file, which has a head and does not say how to pool, is a reranker too", async () => {
  const metadata = { "bert.pooling_type": undefined };
  const older = rerankerRuntime(folder.write("older", { metadata, tensors: headTensors(head) }));
  try {
    await older.start();
    expect(older.models()).toMatchObject([{ capabilities: [Capability.RERANK], embeddingDimensions: 0 }]);
    expect((await rerank(older, documents, { query })).results).toEqual(
      (await rerank(runtime, documents, { query })).results,
    );
  } finally {
    await older.close();
  }
});

test("a model for embeddings refuses to score, by its name, and goes on to embed", async () => {
  const embedding = embeddingRuntime();
  try {
    await embedding.start();
    await expect(rerank(embedding, ["dog"])).rejects.toMatchObject({ code: Code.UNIMPLEMENTED, param: "model" });
    expect((await embed(embedding, ["dog"])).embeddings).toHaveLength(1);
  } finally {
    await embedding.close();
  }
});

describe("a file that can't rerank fails the load in a sentence", () => {
  const rank = { "bert.pooling_type": uint32(poolings.rank) };
  test.each([
    ["without a head", { metadata: rank }, /no head/],
    [
      "with several classes",
      {
        metadata: { ...rank, "bert.classifier.output_labels": { type: "strings", value: ["a", "b", "c"] } },
        tensors: [{ name: "cls.output.weight", shape: [384, 3], values: new Float32Array(3 * 384) }],
      },
      /3 classes/,
    ],
    [
      "with a template of another kind",
      {
        metadata: { ...rank, "tokenizer.chat_template.rerank": { type: "string", value: "{query} {document}" } },
        tensors: headTensors(head),
      },
      /template for reranking/,
    ],
  ] as const)("%s", async (name, changes, sentence) => {
    const wrong = rerankerRuntime(folder.write(name.replaceAll(" ", "-"), changes));
    try {
      await expect(wrong.start()).rejects.toThrow(sentence);
    } finally {
      await wrong.close();
    }
  });
});

test("a short request takes its turn within a long list, which ends between documents when its caller leaves", async () => {
  const controller = new AbortController();
  const long = rerank(runtime, new Array<string>(2_000).fill("word ".repeat(200)), { signal: controller.signal });
  let ended = false;
  const outcome = long
    .catch((thrown: unknown) => thrown)
    .finally(() => {
      ended = true;
    });
  await rerank(runtime, ["dog"]);
  expect(ended).toBe(false);
  const gone = new Error("gone");
  controller.abort(gone);
  expect(await outcome).toBe(gone);
  expect((await rerank(runtime, ["cat"])).results).toHaveLength(1);
});

test("a child that dies fails what it had, retryably, and the next one answers", async () => {
  const pids = (): number[] => entries.filter(({ event }) => event === "runtime.started").map(({ pid }) => Number(pid));
  const lost = rerank(runtime, new Array<string>(200).fill("word ".repeat(200)));
  const outcome = expect(lost).rejects.toMatchObject({ code: Code.UNAVAILABLE, retryAfterMs: expect.any(Number) });
  process.kill(pids().at(-1) ?? Number.NaN, "SIGKILL");
  await outcome;
  await until("another child to be ready", () => runtime.models()[0]?.state === ModelState.READY);
  expect((await rerank(runtime, ["dog"])).results).toHaveLength(1);
});
