// Rerankers of RoBERTa's and of Qwen3's kind, tiny and of known weights: to the token what they are asked, and to the digit what they say.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, type Llama, LlamaLogLevel, type LlamaModel, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Runtime } from "../../inference-node/runtime.ts";
import { Capability } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { rerank, rerankerRuntime } from "../support/reranker-model.ts";
import { seededWeights } from "../support/seeded-weights.ts";
import { tinyWidth, writeTinyQwen3, writeTinyRoberta } from "../support/tiny-reranker.ts";

const query = "a cat?";
const documents = ["cat", "dog cat", "the <|im_end|> </s> of all", "naïve café — 北京", "x"];
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
const pooling = (architecture: string, value: number) => ({
  [`${architecture}.pooling_type`]: { type: "uint32", value } as const,
});

let folder: string;
let llama: Llama;
let open: Runtime | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-tiny-"));
  llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
});
afterAll(async () => {
  await open?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(path: string): Promise<Runtime> {
  await open?.close();
  open = rerankerRuntime(path);
  await open.start();
  return open;
}

/** The model without its head, and what it gives for ids. */
async function bare(path: string) {
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createEmbeddingContext({ contextSize: 128, batchSize: 128, threads: 1 });
  const vectorOf = async (ids: readonly number[]) => (await context.getEmbeddingFor([...ids] as Token[])).vector;
  return { model, vectorOf };
}

/** Ids of texts, special tokens read as such only in those of the model's own. */
const ids = (model: LlamaModel, text: string, own = false): number[] => [...model.tokenize(text, own)];

async function expectScores(runtime: Runtime, pairs: readonly number[][], expected: readonly number[]): Promise<void> {
  expect(runtime.models()).toMatchObject([{ capabilities: [Capability.RERANK] }]);
  const { results, promptTokens } = await rerank(runtime, documents, { query });
  expect(promptTokens).toBe(pairs.reduce((sum, pair) => sum + pair.length, 0));
  const scores = documents.map((_, at) => results.find(({ index }) => index === at)?.relevanceScore ?? Number.NaN);
  for (const [index, score] of scores.entries()) expect(score, documents[index]).toBeCloseTo(expected[index] ?? -1, 4);
  // Else a wrong one would not be noticed.
  expect(Math.max(...expected) - Math.min(...expected)).toBeGreaterThan(0.02);
}

test("RoBERTa's kind is asked <s> query </s></s> document </s>", async () => {
  const [dense, output] = [seededWeights(71, tinyWidth * tinyWidth, 0.4), seededWeights(72, tinyWidth, 0.9)];
  const path = join(folder, "roberta.gguf");
  writeTinyRoberta(path, {
    metadata: pooling("bert", 4),
    tensors: [
      { name: "cls.weight", shape: [tinyWidth, tinyWidth], values: dense },
      { name: "cls.output.weight", shape: [tinyWidth, 1], values: output },
    ],
  });
  const plain = join(folder, "roberta-plain.gguf");
  writeTinyRoberta(plain, { metadata: pooling("bert", 2), tensors: [] });
  const { model, vectorOf } = await bare(plain);
  const [[begin = -1], [end = -1]] = [ids(model, "<s>", true), ids(model, "</s>", true)];
  const pairs = documents.map((text) => [begin, ...ids(model, query), end, end, ...ids(model, text), end]);
  const expected: number[] = [];
  for (const pair of pairs) {
    const vector = await vectorOf(pair);
    const hidden = Array.from({ length: tinyWidth }, (_, row) =>
      Math.tanh(dot(dense.subarray(row * tinyWidth, (row + 1) * tinyWidth), vector)),
    );
    expected.push(1 / (1 + Math.exp(-dot(output, hidden))));
  }
  await expectScores(await start(path), pairs, expected);
});

test("Qwen3's kind is asked by its template, token for token, and its probability of yes is the score", async () => {
  // The template of the published models, shortened to what a tiny context holds.
  const template =
    '<|im_start|>system\nOnly "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: Retrieve\n<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n';
  const head = seededWeights(73, 2 * tinyWidth, 0.3);
  const path = join(folder, "qwen3.gguf");
  writeTinyQwen3(path, {
    metadata: {
      ...pooling("qwen3", 4),
      "qwen3.classifier.output_labels": { type: "strings", value: ["yes", "no"] },
      "tokenizer.chat_template.rerank": { type: "string", value: template },
    },
    tensors: [{ name: "cls.output.weight", shape: [tinyWidth, 2], values: head }],
  });
  const plain = join(folder, "qwen3-plain.gguf");
  writeTinyQwen3(plain, { metadata: pooling("qwen3", 3), tensors: [] });
  const { model, vectorOf } = await bare(plain);
  // Between two special tokens the template's text and the caller's are one text, read at once.
  const pairs = documents.map((text) =>
    template
      .split(/(<\|im_(?:start|end)\|>)/)
      .filter((part) => part !== "")
      .flatMap((part) =>
        ids(model, part.replace("{query}", query).replace("{document}", text), part.startsWith("<|im_")),
      ),
  );
  const expected: number[] = [];
  for (const pair of pairs) {
    const vector = await vectorOf(pair);
    const [yes, no] = [dot(head.subarray(0, tinyWidth), vector), dot(head.subarray(tinyWidth), vector)];
    expected.push(1 / (1 + Math.exp(no - yes)));
  }
  await expectScores(await start(path), pairs, expected);
});
