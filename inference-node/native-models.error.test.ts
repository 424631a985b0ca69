// Models that can't be served together are refused at the start, in a sentence.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { Capability } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { systemClock } from "./clock.ts";
import { readConfig } from "./config.ts";
import { fakeGguf, temporaryFolder } from "./model-source/testing/fake-files.ts";
import { createNativeModels } from "./native-models.ts";

async function models(...names: string[]): Promise<string> {
  const folder = await temporaryFolder();
  const paths = names.map((name) => join(folder, name));
  for (const path of paths) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, fakeGguf());
  }
  return paths.join(",");
}

function make(env: Record<string, string>) {
  const deps = { log: () => undefined, clock: systemClock, signal: new AbortController().signal };
  return createNativeModels(readConfig({ SLUICE_NODE_SECRET: "0123456789abcdef", ...env }), deps);
}

test("two files of one name", async () => {
  const refused = make({ SLUICE_MODEL: await models("one/chat.gguf", "two/chat.gguf") });
  await expect(refused).rejects.toThrow("SLUICE_MODEL names two models that would both be called chat");
});

test("one chat template for two models", async () => {
  const refused = make({ SLUICE_MODEL: await models("a.gguf", "b.gguf"), SLUICE_CHAT_TEMPLATE: "/nowhere.jinja" });
  await expect(refused).rejects.toThrow("SLUICE_CHAT_TEMPLATE is one model's");
});

test("an embedding model that nobody knows, before anything is fetched", async () => {
  const refused = make({ SLUICE_MODEL: "hf:nobody/nothing/x.gguf", SLUICE_EMBEDDING_MODEL: "all-minilm-l6-v3" });
  await expect(refused).rejects.toThrow(/"all-minilm-l6-v3" \(did you mean all-minilm-l6-v2\?\)/);
});

test("none of these refuses what is right: two models, an embedding model among them, are all listed", async () => {
  const pooled = {
    "general.architecture": { type: 8, value: "bert" },
    "bert.pooling_type": { type: 4, value: 1 },
  } as const;
  const chat = await models("chat.gguf");
  const folder = await temporaryFolder();
  const vectors = join(folder, "vectors.gguf");
  await writeFile(vectors, fakeGguf(pooled));
  const runtime = await make({ SLUICE_MODEL: `${chat}, ${vectors}` });
  expect(runtime.models().map(({ id }) => id)).toEqual(["chat", "vectors", "all-minilm-l6-v2"]);
  expect(runtime.models().map(({ embeddingDimensions }) => embeddingDimensions)).toEqual([0, 0, 384]);
  const alone = await make({ SLUICE_MODEL: vectors, SLUICE_EMBEDDING_MODEL: "none" });
  expect(alone.models().map(({ id }) => id)).toEqual(["vectors"]);
  await Promise.all([runtime.close(), alone.close()]);
});

test("a file that ranks is listed as a reranker before it is loaded", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "ranks.gguf");
  await writeFile(
    path,
    fakeGguf({ "general.architecture": { type: 8, value: "bert" }, "bert.pooling_type": { type: 4, value: 4 } }),
  );
  const runtime = await make({ SLUICE_MODEL: path, SLUICE_EMBEDDING_MODEL: "none" });
  expect(runtime.models()).toMatchObject([{ id: "ranks", capabilities: [Capability.RERANK] }]);
  await runtime.close();
});
