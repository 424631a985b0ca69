// A wheel's BERT becomes a GGUF that an independent reader finds whole, value by value.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { expect, test } from "vitest";
import type { CatalogueEntry } from "./catalogue.ts";
import { readGgufHeader } from "./gguf.ts";
import { toHalfFloats } from "./half.ts";
import { type ResolveOptions, resolveModel } from "./resolve.ts";
import type { Progress } from "./source.ts";
import { bertPackage, bertTensorsOf, bertWheel } from "./testing/fake-bert.ts";
import { fakeCatalogue, fakeConfig, impatientClock, temporaryFolder } from "./testing/fake-files.ts";
import { pythonWithWheel } from "./testing/fake-python.ts";

/** Of the tiny model's GGUF: it is made the same everywhere, down to the last bit. */
const facts = { sha256: "92cb36a7d104bf99a83f058a59cecf6cd90b2e0f1ca3bacb089ea15eb60662fb", bytes: 3_584 };

async function world() {
  const dir = await temporaryFolder();
  const python = await pythonWithWheel(dir, bertWheel());
  const phases: Progress[] = [];
  const [entry] = fakeCatalogue(Buffer.alloc(0), [bertPackage]) as [CatalogueEntry];
  const options: ResolveOptions = {
    config: fakeConfig(join(dir, "cache"), { environment: python.environment }),
    catalogue: [{ ...entry, ...facts }],
    clock: impatientClock,
    onProgress: (progress) => phases.push(progress),
  };
  return { python, options, phases };
}

test("a pulled wheel is converted once, to the bytes that the catalogue pins, and leaves nothing else behind", async () => {
  const { python, options, phases } = await world();
  const first = await resolveModel("tiny", options);
  expect(first).toMatchObject({ source: "package", ...facts });
  expect(phases.map(({ phase }) => phase)).toEqual(expect.arrayContaining(["downloading", "unpacking", "converting"]));
  expect((await readdir(dirname(first.path))).sort()).toEqual(["tiny.gguf", "tiny.gguf.verified.json"]);
  expect((await resolveModel("tiny", options)).source).toBe("cache");
  expect(await python.calls()).toHaveLength(1);
});

test("another reader finds every tensor with its values, and what the engine must know", async () => {
  const { options } = await world();
  const { path } = await resolveModel("tiny", options);
  const { metadata, fullTensorInfo = [] } = await readGgufFileInfo(path, { logWarnings: false });
  expect(metadata).toMatchObject({
    general: { architecture: "bert", name: "tiny-bert", license: "Apache-2.0", file_type: 1 },
    bert: { block_count: 1, context_length: 16, embedding_length: 4, pooling_type: 1, attention: { causal: false } },
    tokenizer: { ggml: { model: "bert", tokens: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁dog", "s", "▁cat"] } },
    sluice: { max_input_tokens: 12 },
  });
  expect(await readGgufHeader(path)).toMatchObject({
    architecture: "bert",
    quantization: "F16",
    license: "Apache-2.0",
  });
  const file = await readFile(path);
  const valuesOf = (name: string): Buffer => {
    const info = fullTensorInfo.find((tensor) => tensor.name === name);
    const length = (info?.dimensions ?? []).reduce((product: number, size) => product * Number(size), 1);
    const at = Number(info?.fileOffset ?? 0);
    return file.subarray(at, at + length * (info?.ggmlType === 1 ? 2 : 4));
  };
  const source = bertTensorsOf();
  const original = (name: string): Float32Array => source.get(name)?.values ?? new Float32Array();
  const halves = (name: string): Buffer => Buffer.from(toHalfFloats(original(name)).buffer);
  const floats = (name: string): Buffer => Buffer.from(original(name).buffer);
  expect(fullTensorInfo).toHaveLength(source.size - 1);
  expect(valuesOf("token_embd.weight")).toEqual(halves("embeddings.word_embeddings.weight"));
  expect(valuesOf("position_embd.weight")).toEqual(floats("embeddings.position_embeddings.weight"));
  expect(valuesOf("blk.0.ffn_down.weight")).toEqual(halves("encoder.layer.0.output.dense.weight"));
  expect(valuesOf("blk.0.layer_output_norm.bias")).toEqual(floats("encoder.layer.0.output.LayerNorm.bias"));
  expect(fullTensorInfo.find(({ name }) => name === "blk.0.ffn_down.weight")?.dimensions).toEqual([8, 4]);
});
