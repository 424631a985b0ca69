// The default embedding model, on real weights: right vectors, right counts, fair turns, refusals, and its child's death.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { DEFAULT_EMBEDDING_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { Capability, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { PromptSchema } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { cosine, embed, embeddingRuntime } from "../support/embedding-model.ts";
import { userPrompt } from "../support/generate.ts";
import { until } from "../support/wait.ts";

/** Computed in double precision from the published weights, by another program with Hugging Face's own tokenizer. */
const reference = (
  JSON.parse(readFileSync(new URL("./fixtures/embedding-reference.json", import.meta.url), "utf8")) as {
    text: string;
    tokens: number;
    vector: string;
  }[]
).map(({ text, tokens, vector }) => {
  const bytes = Buffer.from(vector, "base64");
  return { text, tokens, vector: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
});
/** F16 weights and the kernels of another CPU stay far within it; a wrong token or a wrong pooling does not. */
const cosineMin = 0.9999;
const longText = reference.at(-1)?.text ?? "";
const signal = new AbortController().signal;

let runtime: Runtime;
let entries: LogEntry[];

beforeAll(async () => {
  entries = [];
  runtime = embeddingRuntime({ entries });
  await runtime.start();
});
afterAll(() => runtime.close());

const vectorsOf = async (...inputs: Parameters<typeof embed>[1]): Promise<number[][]> =>
  (await embed(runtime, inputs)).embeddings.map(({ values }) => values);

test("says what it is: its limit, its dimensions, its one capability", () => {
  expect(runtime.models()).toMatchObject([
    {
      id: DEFAULT_EMBEDDING_MODEL,
      state: ModelState.READY,
      contextLength: 256,
      embeddingDimensions: 384,
      capabilities: [Capability.EMBEDDINGS],
      quantization: "F16",
      license: "Apache-2.0",
      ownedBy: "sentence-transformers",
      runtime: "llama",
    },
  ]);
});

test("vectors and counts are those of the reference, texts of every script and full length included", async () => {
  const texts = reference.map(({ text }) => text);
  const { embeddings, promptTokens } = await embed(runtime, texts, { truncate: true });
  for (const [index, { text, vector }] of reference.entries()) {
    const values = embeddings[index]?.values ?? [];
    expect(values, text).toHaveLength(384);
    expect(Math.hypot(...values), text).toBeCloseTo(1, 5);
    expect(cosine(values, vector), text).toBeGreaterThan(cosineMin);
  }
  expect(promptTokens).toBe(reference.reduce((sum, { tokens }) => sum + tokens, 0));
});

test("a sentence's nearest neighbour is the one that means the same", async () => {
  const pairs = [
    ["The cat sits outside", "A feline rests outdoors"],
    ["A man is playing guitar", "Someone strums a guitar"],
    ["How do I reset my password?", "I forgot my login credentials"],
  ];
  const vectors = await vectorsOf(...pairs.flat());
  for (const [index, vector] of vectors.entries()) {
    const others = vectors.map((other, at) => (at === index ? -1 : cosine(vector, other)));
    expect(others.indexOf(Math.max(...others))).toBe(index % 2 === 0 ? index + 1 : index - 1);
  }
});

test("token ids give what their text gives, with or without what the model puts around them", async () => {
  const ids = [...(await runtime.tokenize(DEFAULT_EMBEDDING_MODEL, "The cat sits outside", false))];
  const { embeddings, promptTokens } = await embed(runtime, ["The cat sits outside", ids, [101, ...ids, 102]]);
  expect(promptTokens).toBe(3 * (ids.length + 2));
  for (const { values } of embeddings) expect(values).toEqual(embeddings[0]?.values);
});

test("a special token's text in a text is text", async () => {
  const [text, injected] = await vectorsOf("a [SEP] b", [1037, 102, 1038]);
  expect(cosine(text ?? [], injected ?? [])).toBeLessThan(0.99);
});

test("a text without a token still has a vector, and the neighbours of a long list have theirs", async () => {
  const [blank, word, nul] = await vectorsOf(" \n ", "dog", "\0");
  expect(Math.hypot(...(blank ?? []))).toBeCloseTo(1, 5);
  expect(nul).toEqual(blank);
  expect(cosine(blank ?? [], word ?? [])).toBeLessThan(0.99);
});

test("fewer dimensions are the first of all, of length 1 again", async () => {
  const [whole] = await vectorsOf("The cat sits outside");
  const { embeddings } = await embed(runtime, ["The cat sits outside"], { dimensions: 64 });
  const values = embeddings[0]?.values ?? [];
  expect(values).toHaveLength(64);
  expect(Math.hypot(...values)).toBeCloseTo(1, 5);
  expect(cosine(values, whole?.slice(0, 64) ?? [])).toBeCloseTo(1, 6);
});

describe("an input that is too long", () => {
  test("is refused with both numbers, before anything is computed", async () => {
    const refused = embed(runtime, ["dog", longText]);
    await expect(refused).rejects.toMatchObject({
      code: Code.OUT_OF_RANGE,
      param: "inputs[1]",
      metadata: { context_length: "256", prompt_tokens: "402" },
    });
  });

  test("is refused by its ids as by its text; exactly as many as fit are taken", async () => {
    const fits = new Array<number>(254).fill(3899);
    expect((await embed(runtime, [fits])).promptTokens).toBe(256);
    const refused = embed(runtime, [[...fits, 3899]]);
    await expect(refused).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, param: "inputs[0]" });
  });

  test("is cut to what the model takes when the request says so, to the same vector as its beginning", async () => {
    const long = new Array<number>(5_000).fill(3899);
    const { embeddings, promptTokens } = await embed(runtime, [long, long.slice(0, 254)], { truncate: true });
    expect(promptTokens).toBe(512);
    expect(embeddings[0]?.values).toEqual(embeddings[1]?.values);
  });

  test.each([
    ["a megabyte of words", "word ".repeat(200_000), "at least 10"],
    ["more than a million characters", " ".repeat(1_000_001), "1000001 characters"],
  ])("%s ends in a refusal, soon", async (_name, text, words) => {
    const refused = embed(runtime, [text]);
    await expect(refused).rejects.toMatchObject({ code: Code.OUT_OF_RANGE, message: expect.stringContaining(words) });
  });
});

test("a token id outside the vocabulary is refused by name", async () => {
  const refused = embed(runtime, ["dog", [1, 30_522]]);
  await expect(refused).rejects.toMatchObject({ code: Code.INVALID_ARGUMENT, param: "inputs[1]" });
});

test("counts a text as the embedding does, and takes no chat", async () => {
  const count = (prompt: Parameters<typeof create<typeof PromptSchema>>[1]) =>
    runtime.prepare(DEFAULT_EMBEDDING_MODEL, create(PromptSchema, prompt), signal);
  const { promptTokens } = await embed(runtime, ["naïve café — 北京"]);
  expect(await count({ form: { case: "text", value: "naïve café — 北京" } })).toMatchObject({ promptTokens });
  await expect(count(userPrompt("Hello"))).rejects.toMatchObject({ code: Code.FAILED_PRECONDITION });
});

test("a short request takes its turn within a long list, and the list ends between inputs when its caller leaves", async () => {
  const controller = new AbortController();
  const list = new Array<string>(400).fill(longText);
  const long = embed(runtime, list, { truncate: true, signal: controller.signal });
  const outcome = expect(long).rejects.toThrow("gone");
  const started = performance.now();
  await embed(runtime, ["dog"]);
  controller.abort(new Error("gone"));
  await outcome;
  await embed(runtime, ["cat"]);
  const shared = performance.now() - started;
  const one = performance.now();
  await embed(runtime, [longText], { truncate: true });
  // Reading takes turns too, a millisecond each: the list of 400 was neither waited for nor gone on with.
  expect(shared).toBeLessThan(100 * (performance.now() - one) + 500);
});

test("a child that dies fails what it had, retryably, and the next one answers", async () => {
  const pids = (): number[] => entries.filter(({ event }) => event === "runtime.started").map(({ pid }) => Number(pid));
  const lost = embed(runtime, new Array<string>(50).fill(longText), { truncate: true });
  const outcome = expect(lost).rejects.toMatchObject({ code: Code.UNAVAILABLE, retryAfterMs: expect.any(Number) });
  process.kill(pids().at(-1) ?? Number.NaN, "SIGKILL");
  await outcome;
  await until("another child to be ready", () => runtime.models()[0]?.state === ModelState.READY);
  expect(pids()).toHaveLength(2);
  expect((await embed(runtime, ["dog"])).embeddings).toHaveLength(1);
});

test("a file that says no limit of its own takes as many tokens as it has positions, and not one more", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-embedding-"));
  const path = join(folder, "positions.gguf");
  const file = readFileSync((await resolveModel(DEFAULT_EMBEDDING_MODEL)).path);
  // The key is spelt differently: nobody knows it.
  file.write("sluice.max_input_tokenZ", file.indexOf("sluice.max_input_tokens"));
  writeFileSync(path, file);
  const whole = embeddingRuntime({ locate: async () => path });
  try {
    await whole.start();
    expect(whole.models()[0]?.contextLength).toBe(512);
    const fits = new Array<number>(510).fill(3899);
    expect((await embed(whole, [fits])).promptTokens).toBe(512);
    await expect(embed(whole, [[...fits, 3899]])).rejects.toMatchObject({ code: Code.OUT_OF_RANGE });
    expect((await embed(whole, ["dog"])).embeddings).toHaveLength(1);
  } finally {
    await whole.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a file that is no model fails the load in a sentence, and another start may succeed", async () => {
  let path = fileURLToPath(import.meta.url);
  const runtime = embeddingRuntime({ locate: async () => path });
  try {
    await expect(runtime.start()).rejects.toThrow(/can't be loaded/);
    expect(runtime.models()[0]?.state).toBe(ModelState.UNAVAILABLE);
    await expect(embed(runtime, ["dog"])).rejects.toMatchObject({ code: Code.UNAVAILABLE });
    path = (await resolveModel(DEFAULT_EMBEDDING_MODEL)).path;
    await runtime.start();
    expect((await embed(runtime, ["dog"])).embeddings).toHaveLength(1);
  } finally {
    await runtime.close();
  }
});
