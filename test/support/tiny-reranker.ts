// Rerankers of a few thousand weights, of the kinds that the default embedding model is not: RoBERTa's and Qwen3's.
import type { GgufValue } from "../../inference-node/model-source/gguf-writer.ts";
import { type GgufChanges, writeGguf } from "./gguf-file.ts";
import { seededWeights } from "./seeded-weights.ts";

export const tinyWidth = 32;
const tinySpecials = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"] as const;
/** Of one layer, two heads and one feed-forward of twice the width. */
const inner = 2 * tinyWidth;
const headWidth = tinyWidth / 2;

/** GPT-2's characters for bytes, then what the merges make, then special tokens. */
const byteCharacters = (): string[] => {
  const plain = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(plain(byte) ? byte : next++));
};
/** A space joins what follows it, so that where a text is cut into pieces shows in its ids. */
const merges = ["c a", "ca t", "Ġ cat", "d o", "do g", "Ġ dog", ": Ġ"];
const tokens = [...byteCharacters(), ...merges.map((merge) => merge.replace(" ", "")), ...tinySpecials];
const idOf = (token: (typeof tinySpecials)[number]): number => tokens.indexOf(token);

const string = (value: string): GgufValue => ({ type: "string", value });
const uint32 = (value: number): GgufValue => ({ type: "uint32", value });
const bool = (value: boolean): GgufValue => ({ type: "bool", value });

type Tensors = NonNullable<GgufChanges["tensors"]>;
type Shapes = Readonly<Record<string, readonly number[]>>;

function tensorsOf(shapes: Shapes): Tensors {
  return Object.entries(shapes).map(([name, shape], index) => {
    const values = seededWeights(
      index + 1,
      shape.reduce((product, size) => product * size, 1),
      0.4,
    );
    // A norm's weights are around 1.
    return { name, shape, values: /norm\.weight$/.test(name) ? values.map((value) => 1 + value) : values };
  });
}

function metadataOf(architecture: string, pre: string): Record<string, GgufValue> {
  return {
    "general.architecture": string(architecture),
    "general.file_type": uint32(0),
    [`${architecture}.block_count`]: uint32(1),
    [`${architecture}.context_length`]: uint32(128),
    [`${architecture}.embedding_length`]: uint32(tinyWidth),
    [`${architecture}.feed_forward_length`]: uint32(inner),
    [`${architecture}.attention.head_count`]: uint32(2),
    "tokenizer.ggml.model": string("gpt2"),
    "tokenizer.ggml.pre": string(pre),
    "tokenizer.ggml.tokens": { type: "strings", value: tokens },
    "tokenizer.ggml.token_type": {
      type: "int32s",
      value: tokens.map((_, id) => (id >= tokens.length - tinySpecials.length ? 3 : 1)),
    },
    "tokenizer.ggml.merges": { type: "strings", value: merges },
  };
}

/** The head's values are the file's, so that a test can apply it too. */
export interface TinyChanges {
  readonly metadata: Readonly<Record<string, GgufValue>>;
  readonly tensors: Tensors;
}

/** `<s> query </s></s> document </s>`, as XLM-RoBERTa's rerankers have it. */
export function writeTinyRoberta(path: string, changes: TinyChanges): void {
  const layer: Record<string, readonly number[]> = {};
  const add = (name: string, shape: readonly number[]): void => {
    layer[`${name}.weight`] = shape;
    layer[`${name}.bias`] = [shape.at(-1) ?? 0];
  };
  for (const name of ["attn_q", "attn_k", "attn_v", "attn_output"]) add(`blk.0.${name}`, [tinyWidth, tinyWidth]);
  add("blk.0.attn_output_norm", [tinyWidth]);
  add("blk.0.ffn_up", [tinyWidth, inner]);
  add("blk.0.ffn_down", [inner, tinyWidth]);
  add("blk.0.layer_output_norm", [tinyWidth]);
  add("token_embd_norm", [tinyWidth]);
  const shapes = {
    "token_embd.weight": [tinyWidth, tokens.length],
    "position_embd.weight": [tinyWidth, 128],
    "token_types.weight": [tinyWidth, 1],
    ...layer,
  };
  const metadata = {
    ...metadataOf("bert", "roberta-bpe"),
    "bert.attention.layer_norm_epsilon": { type: "float32", value: 1e-5 },
    "bert.attention.causal": bool(false),
    "tokenizer.ggml.token_type_count": uint32(1),
    "tokenizer.ggml.bos_token_id": uint32(idOf("<s>")),
    "tokenizer.ggml.eos_token_id": uint32(idOf("</s>")),
    "tokenizer.ggml.seperator_token_id": uint32(idOf("</s>")),
    "tokenizer.ggml.add_bos_token": bool(true),
    "tokenizer.ggml.add_eos_token": bool(true),
    ...changes.metadata,
  } as const;
  write(path, metadata, [...tensorsOf(shapes), ...changes.tensors]);
}

/** A decoder that is asked by a template and answers with the probability of "yes", as Qwen3-Reranker does. */
export function writeTinyQwen3(path: string, changes: TinyChanges): void {
  const shapes = {
    "token_embd.weight": [tinyWidth, tokens.length],
    "output_norm.weight": [tinyWidth],
    "blk.0.attn_norm.weight": [tinyWidth],
    "blk.0.attn_q.weight": [tinyWidth, tinyWidth],
    "blk.0.attn_k.weight": [tinyWidth, tinyWidth],
    "blk.0.attn_v.weight": [tinyWidth, tinyWidth],
    "blk.0.attn_output.weight": [tinyWidth, tinyWidth],
    "blk.0.attn_q_norm.weight": [headWidth],
    "blk.0.attn_k_norm.weight": [headWidth],
    "blk.0.ffn_norm.weight": [tinyWidth],
    "blk.0.ffn_gate.weight": [tinyWidth, inner],
    "blk.0.ffn_up.weight": [tinyWidth, inner],
    "blk.0.ffn_down.weight": [inner, tinyWidth],
  };
  const metadata = {
    ...metadataOf("qwen3", "qwen2"),
    "qwen3.attention.head_count_kv": uint32(2),
    "qwen3.attention.key_length": uint32(headWidth),
    "qwen3.attention.value_length": uint32(headWidth),
    "qwen3.attention.layer_norm_rms_epsilon": { type: "float32", value: 1e-6 },
    "qwen3.rope.freq_base": { type: "float32", value: 10_000 },
    "tokenizer.ggml.eos_token_id": uint32(idOf("<|im_end|>")),
    "tokenizer.ggml.bos_token_id": uint32(idOf("<|im_end|>")),
    "tokenizer.ggml.add_bos_token": bool(false),
    ...changes.metadata,
  } as const;
  write(path, metadata, [...tensorsOf(shapes), ...changes.tensors]);
}

function write(path: string, metadata: Readonly<Record<string, GgufValue>>, tensors: Tensors): void {
  writeGguf(path, { metadata: new Map(), tensors: [], data: Buffer.alloc(0) }, { metadata, tensors });
}
