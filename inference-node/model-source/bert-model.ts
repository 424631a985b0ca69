// Says which GGUF a BERT sentence model of the sentence-transformers library is: metadata and tensors, pure.
import type { BertConversion } from "./catalogue.ts";
import { type GgufTensor, type GgufValue, paddingAfter } from "./gguf-writer.ts";
import type { StoredTensor } from "./safetensors.ts";

/** The model's small files, parsed. */
export interface BertFiles {
  readonly config: Readonly<Record<string, unknown>>;
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  readonly sentenceConfig: Readonly<Record<string, unknown>>;
  readonly poolingConfig: Readonly<Record<string, unknown>>;
  readonly vocabulary: readonly string[];
}

/** A tensor of the GGUF and the one that it is made of. */
export interface ConvertedTensor extends GgufTensor {
  readonly from: StoredTensor;
  readonly bytes: number;
}

const specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/** llama.cpp's own names for them, misspelling included. */
const specialKeys = [
  ["bos", "[CLS]"],
  ["cls", "[CLS]"],
  ["eos", "[SEP]"],
  ["seperator", "[SEP]"],
  ["unknown", "[UNK]"],
  ["padding", "[PAD]"],
  ["mask", "[MASK]"],
] as const;
const pooling = { mean: 1, cls: 2 } as const;
const tokenType = { normal: 1, control: 3 } as const;

/** The metadata. Throws an Error for a model of another kind. */
export function bertMetadata(files: BertFiles, names: BertConversion): [string, GgufValue][] {
  const { config, tokenizerConfig, sentenceConfig, poolingConfig, vocabulary } = files;
  requireKind(config);
  const clsPooling = poolingConfig.pooling_mode_cls_token === true;
  if (!clsPooling && poolingConfig.pooling_mode_mean_tokens !== true) throw new Error("its pooling is not known");
  const size = (key: string): GgufValue => ({ type: "uint32", value: count(config, key) });
  const string = (value: string): GgufValue => ({ type: "string", value });
  const uint32 = (value: number): GgufValue => ({ type: "uint32", value });
  return [
    ["general.architecture", string("bert")],
    ["general.type", string("model")],
    ["general.name", string(names.name)],
    ["general.organization", string(names.organization)],
    ["general.license", string(names.license)],
    ["general.file_type", uint32(1)],
    ["general.quantization_version", uint32(2)],
    ["bert.block_count", size("num_hidden_layers")],
    ["bert.context_length", size("max_position_embeddings")],
    ["bert.embedding_length", size("hidden_size")],
    ["bert.feed_forward_length", size("intermediate_size")],
    ["bert.attention.head_count", size("num_attention_heads")],
    ["bert.attention.layer_norm_epsilon", { type: "float32", value: Number(config.layer_norm_eps) }],
    ["bert.attention.causal", { type: "bool", value: false }],
    ["bert.pooling_type", uint32(clsPooling ? pooling.cls : pooling.mean)],
    ["sluice.max_input_tokens", uint32(count(sentenceConfig, "max_seq_length"))],
    ["tokenizer.ggml.model", string("bert")],
    ["tokenizer.ggml.pre", string("default")],
    ["tokenizer.ggml.normalizer.lowercase", { type: "bool", value: tokenizerConfig.do_lower_case !== false }],
    ["tokenizer.ggml.tokens", { type: "strings", value: vocabulary.map(asPhantomSpace) }],
    ["tokenizer.ggml.token_type", { type: "int32s", value: vocabulary.map(typeOfToken) }],
    ["tokenizer.ggml.token_type_count", size("type_vocab_size")],
    ...specialKeys.map(([key, token]): [string, GgufValue] => [
      `tokenizer.ggml.${key}_token_id`,
      uint32(indexOf(vocabulary, token)),
    ]),
  ];
}

function requireKind(config: Readonly<Record<string, unknown>>): void {
  const { model_type: kind, hidden_act: activation, position_embedding_type: positions = "absolute" } = config;
  if (kind === "bert" && activation === "gelu" && positions === "absolute") return;
  const facts = `model_type ${String(kind)}, hidden_act ${String(activation)}, ${String(positions)} positions`;
  throw new Error(`it is no BERT model of the known kind: ${facts}`);
}

function count(config: Readonly<Record<string, unknown>>, key: string): number {
  const value = config[key];
  if (Number.isSafeInteger(value) && Number(value) > 0) return Number(value);
  throw new Error(`its configuration has no ${key}`);
}

function indexOf(vocabulary: readonly string[], token: string): number {
  const index = vocabulary.indexOf(token);
  if (index < 0) throw new Error(`its vocabulary has no ${token}`);
  return index;
}

/** llama.cpp marks a word's beginning where WordPiece marks its continuation. */
function asPhantomSpace(token: string): string {
  if (specialTokens.includes(token)) return token;
  return token.startsWith("##") ? token.slice(2) : `\u2581${token}`;
}

function typeOfToken(token: string): number {
  return specialTokens.includes(token) ? tokenType.control : tokenType.normal;
}

const outerNames: Readonly<Record<string, string>> = {
  "embeddings.word_embeddings": "token_embd",
  "embeddings.position_embeddings": "position_embd",
  "embeddings.token_type_embeddings": "token_types",
  "embeddings.LayerNorm": "token_embd_norm",
};
const layerNames: Readonly<Record<string, string>> = {
  "attention.self.query": "attn_q",
  "attention.self.key": "attn_k",
  "attention.self.value": "attn_v",
  "attention.output.dense": "attn_output",
  "attention.output.LayerNorm": "attn_output_norm",
  "intermediate.dense": "ffn_up",
  "output.dense": "ffn_down",
  "output.LayerNorm": "layer_output_norm",
};
/** The engine adds these to the tokens' rows, which it only does in F32. */
const addedRows = ["position_embd", "token_types"];

/** The tensors in the order of their data. Throws an Error when one is missing or has another shape than the model. */
export function bertTensors(stored: ReadonlyMap<string, StoredTensor>, config: BertFiles["config"]): ConvertedTensor[] {
  const tensors: ConvertedTensor[] = [];
  let offset = 0;
  for (const { from, to, shape } of wantedTensors(config)) {
    const source = stored.get(from) ?? stored.get(`bert.${from}`);
    if (source === undefined) throw new Error(`its weights have no ${from}`);
    if (source.shape.join() !== shape.join()) throw new Error(`its ${from} has shape ${source.shape.join(" by ")}`);
    // Norms and biases are small, and the engine takes them in F32 only.
    const whole = shape.length === 1 || addedRows.some((name) => to.startsWith(name));
    const bytes = whole ? source.bytes : source.bytes / 2;
    tensors.push({ name: to, shape: shape.toReversed(), type: whole ? "F32" : "F16", offset, from: source, bytes });
    offset += bytes + paddingAfter(bytes);
  }
  return tensors;
}

interface WantedTensor {
  readonly from: string;
  readonly to: string;
  readonly shape: readonly number[];
}

function wantedTensors(config: BertFiles["config"]): WantedTensor[] {
  const hidden = count(config, "hidden_size");
  const inner = count(config, "intermediate_size");
  const rows: Readonly<Record<string, number>> = {
    token_embd: count(config, "vocab_size"),
    position_embd: count(config, "max_position_embeddings"),
    token_types: count(config, "type_vocab_size"),
  };
  const weightAndBias = (from: string, to: string, weight: readonly number[]): WantedTensor[] => [
    { from: `${from}.weight`, to: `${to}.weight`, shape: weight },
    { from: `${from}.bias`, to: `${to}.bias`, shape: [weight[0] ?? 0] },
  ];
  const layerShape = (to: string): number[] => {
    if (to.endsWith("_norm")) return [hidden];
    if (to === "ffn_up") return [inner, hidden];
    return to === "ffn_down" ? [hidden, inner] : [hidden, hidden];
  };
  const outer = Object.entries(outerNames).flatMap(([from, to]) => {
    const count = rows[to];
    if (count === undefined) return weightAndBias(from, to, [hidden]);
    return [{ from: `${from}.weight`, to: `${to}.weight`, shape: [count, hidden] }];
  });
  const layers = Array.from({ length: count(config, "num_hidden_layers") }, (_, index) =>
    Object.entries(layerNames).flatMap(([from, to]) =>
      weightAndBias(`encoder.layer.${index}.${from}`, `blk.${index}.${to}`, layerShape(to)),
    ),
  );
  return [...outer, ...layers.flat()];
}
