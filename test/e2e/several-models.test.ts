// Two models that generate and one that makes embeddings behind one API: each answers, and dies alone.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_EMBEDDING_MODEL, DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { cosine } from "../support/embedding-model.ts";
import { fetchRaw } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

let stack: Stack;
let client: OpenAI;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-models-"));
  const second = join(folder, "second.gguf");
  symlinkSync((await resolveModel(DEFAULT_MODEL)).path, second);
  const env = { SLUICE_SEQUENCES: "2", SLUICE_CONTEXT_LENGTH: "1024" };
  stack = await startStack({ runtime: "llama", env, args: ["--model", `${DEFAULT_MODEL},${second}`] });
  client = new OpenAI({ apiKey: stack.apiKey, baseURL: `${stack.url}/v1`, maxRetries: 5 });
});

afterAll(async () => {
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function ask(model: string): Promise<string> {
  const messages = [{ role: "user" as const, content: "What is the capital of France?" }];
  const completion = await client.chat.completions.create({ model, messages, max_tokens: 12, temperature: 0 });
  return completion.choices[0]?.message.content ?? "";
}

async function embed(...input: string[]): Promise<number[][]> {
  const { data } = await client.embeddings.create({ model: DEFAULT_EMBEDDING_MODEL, input });
  return data.map(({ embedding }) => embedding);
}

/** The process of a model's child now. */
const childOf = (model: string): number => {
  const started = stack.nodeEvents("runtime.started").filter((event) => event.model === model);
  return Number(started.at(-1)?.pid);
};

async function kill(model: string): Promise<void> {
  const victim = childOf(model);
  process.kill(victim, "SIGKILL");
  await stack.waitForNode("runtime.died", { model });
}

test("all are listed, the default first, and asked by name", async () => {
  expect(stack.model).toBe(DEFAULT_MODEL);
  const ids = (await client.models.list()).data.map(({ id }) => id);
  expect(ids).toEqual([DEFAULT_MODEL, "second", DEFAULT_EMBEDDING_MODEL]);
  expect(await ask(DEFAULT_MODEL)).toContain("Paris");
  expect(await ask("second")).not.toBe("");
});

test("the stock client gets vectors whose neighbours are right, right after the start too", async () => {
  const [cat, feline, password] = await embed("The cat sits outside", "A feline rests outdoors", "Reset my password");
  expect(cat).toHaveLength(384);
  expect(cosine(cat ?? [], feline ?? [])).toBeGreaterThan(0.5);
  expect(cosine(cat ?? [], password ?? [])).toBeLessThan(0.3);
  const refused = client.embeddings.create({ model: DEFAULT_EMBEDDING_MODEL, input: "word ".repeat(300) });
  await expect(refused).rejects.toMatchObject({ status: 400, code: "context_length_exceeded", param: "input" });
});

test("what a model is not made for is refused by the parameter's name", async () => {
  await expect(ask(DEFAULT_EMBEDDING_MODEL)).rejects.toMatchObject({ status: 400, param: "model" });
  const refused = client.embeddings.create({ model: DEFAULT_MODEL, input: "dog" });
  await expect(refused).rejects.toMatchObject({ status: 400, code: "unsupported_parameter", param: "model" });
});

test("the embedding model's death leaves the others ready, and ends with another child", async () => {
  await embed("dog");
  const before = childOf(DEFAULT_EMBEDDING_MODEL);
  await kill(DEFAULT_EMBEDDING_MODEL);
  expect((await fetchRaw(`${stack.url}/readyz`)).status).toBe(200);
  expect(await ask("second")).not.toBe("");
  expect(await embed("dog")).toHaveLength(1);
  expect(childOf(DEFAULT_EMBEDDING_MODEL)).not.toBe(before);
});

test("the default model's death leaves the others answering, and the node ready", async () => {
  const chat = childOf(DEFAULT_MODEL);
  expect(stack.pids.runtime).toBe(chat);
  await kill(DEFAULT_MODEL);
  const answers = await Promise.all([ask("second"), embed("dog"), fetchRaw(`${stack.url}/readyz`)]);
  expect(answers[2].status).toBe(200);
  expect(await ask(DEFAULT_MODEL)).toContain("Paris");
  await until(
    "the new child in dev.json",
    () => stack.pids.runtime === childOf(DEFAULT_MODEL) && stack.pids.runtime !== chat,
  );
});
