// A wheel whose model is damaged, incomplete or of another kind is refused in a sentence, and nothing of it stays.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { resolveModel } from "./resolve.ts";
import { bertConfig, bertPackage, bertTensorsOf, bertWheel, safetensors } from "./testing/fake-bert.ts";
import { fakeCatalogue, fakeConfig, impatientClock, temporaryFolder } from "./testing/fake-files.ts";
import { pythonWithWheel } from "./testing/fake-python.ts";

const whole = safetensors(bertTensorsOf());

function without(name: string): Buffer {
  const tensors = bertTensorsOf();
  tensors.delete(name);
  return safetensors(tensors);
}

function misshapen(name: string): Buffer {
  const tensors = bertTensorsOf();
  tensors.set(name, { shape: [2, 2], values: new Float32Array(4) });
  return safetensors(tensors);
}

function withHeader(header: string, claimedBytes = header.length): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(claimedBytes));
  return Buffer.concat([length, Buffer.from(header)]);
}

const outside = JSON.stringify({ "embeddings.LayerNorm.bias": { dtype: "F32", shape: [4], data_offsets: [0, 16] } });
const negative = JSON.stringify({ "embeddings.LayerNorm.bias": { dtype: "F32", shape: [-4], data_offsets: [16, 0] } });
const word = "embeddings.word_embeddings.weight";

test.each<[string, Parameters<typeof bertWheel>[0], string]>([
  ["no weights", { "model.safetensors": undefined }, "the archive has no fake_bert/model/model.safetensors"],
  ["no vocabulary", { "vocab.txt": undefined }, "the archive has no fake_bert/model/vocab.txt"],
  ["a configuration that is no JSON", { "config.json": "{" }, "its config.json is no JSON"],
  [
    "a configuration that is null",
    { "config.json": "null" },
    "it is no BERT model of the known kind: model_type undefined",
  ],
  ["another kind of model", { "config.json": bertConfig({ model_type: "roberta" }) }, "model_type roberta"],
  ["a size that is none", { "config.json": bertConfig({ hidden_size: -1 }) }, "its configuration has no hidden_size"],
  ["an unknown pooling", { "1_Pooling/config.json": "{}" }, "its pooling is not known"],
  [
    "a vocabulary of another size",
    { "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" },
    "its vocabulary has another size",
  ],
  ["weights cut short", { "model.safetensors": whole.subarray(0, -1) }, "does not fit the file"],
  ["empty weights", { "model.safetensors": "" }, "the file is cut short"],
  ["a header longer than the file", { "model.safetensors": withHeader("{}", 1e9) }, "longer than the file"],
  ["a header that is no JSON", { "model.safetensors": withHeader("{{") }, "its list of tensors is no JSON"],
  ["a tensor outside the file", { "model.safetensors": withHeader(outside) }, "does not fit the file"],
  ["a tensor of negative size", { "model.safetensors": withHeader(negative) }, "is described wrongly"],
  ["a missing tensor", { "model.safetensors": without(word) }, `its weights have no ${word}`],
  ["a tensor of another shape", { "model.safetensors": misshapen(word) }, `its ${word} has shape 2 by 2`],
])("%s", async (_name, replaced, reason) => {
  const dir = await temporaryFolder();
  const python = await pythonWithWheel(dir, bertWheel(replaced));
  const cacheDir = join(dir, "cache");
  const resolving = resolveModel("tiny", {
    config: fakeConfig(cacheDir, { environment: python.environment }),
    catalogue: fakeCatalogue(Buffer.alloc(4_096), [bertPackage]),
    clock: impatientClock,
  });
  await expect(resolving).rejects.toMatchObject({
    code: "package_failed",
    message: expect.stringContaining("the wheel fake-model 1.0 can't be converted"),
  });
  await expect(resolving).rejects.toThrow(reason);
  expect(existsSync(join(cacheDir, "catalogue", "tiny", "tiny.gguf"))).toBe(false);
  expect(existsSync(join(cacheDir, "catalogue", "tiny", "tiny.gguf.stage"))).toBe(false);
});

test("a sound wheel that becomes another model than the pinned one is refused", async () => {
  const dir = await temporaryFolder();
  const python = await pythonWithWheel(dir, bertWheel({ "sentence_bert_config.json": '{"max_seq_length": 11}' }));
  const resolving = resolveModel("tiny", {
    config: fakeConfig(join(dir, "cache"), { environment: python.environment }),
    catalogue: fakeCatalogue(Buffer.alloc(4_096), [bertPackage]),
    clock: impatientClock,
  });
  await expect(resolving).rejects.toMatchObject({ code: "checksum_mismatch" });
});
