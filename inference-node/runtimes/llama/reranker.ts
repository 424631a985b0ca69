// Tells whether a model's file is a reranker's, how it wants query and document, and what its scores mean.
import type { LlamaModel } from "node-llama-cpp";
import { reachEmbeddingModel } from "./embedding-addon.ts";
import type { PairForm } from "./pair-tokenizer.ts";

/** How a reranker is asked. */
export interface RerankerFacts {
  readonly form: PairForm;
  /** Whether the engine gives a probability already, rather than a logit. */
  readonly givesProbability: boolean;
}

/** llama.cpp's `llama_pooling_type` of a model whose head gives scores. */
const poolingRank = 4;
/** Either of the two layers of a head may be missing. */
const headTensors = new Set(["cls.weight", "cls.output.weight"]);
/** The engine puts a softmax over the scores of "yes" and "no" behind these. */
const yesNoArchitectures = new Set(["qwen3", "qwen3vl"]);

/** Undefined for a model of another kind. Throws an Error, a sentence for the operator, for a reranker that can't be served. */
export function rerankerFacts(model: LlamaModel): RerankerFacts | undefined {
  const { architectureMetadata, fullTensorInfo = [], metadata } = model.fileInfo;
  const facts = architectureMetadata as
    | { pooling_type?: unknown; classifier?: { output_labels?: unknown } }
    | undefined;
  const { pooling_type: pooling = 0 } = facts ?? {};
  const hasHead = fullTensorInfo.some(({ name }) => headTensors.has(name));
  // Older files have a head and do not say how to pool.
  if (pooling !== poolingRank && !(pooling === 0 && hasHead)) return undefined;
  if (!hasHead) {
    throw new Error(
      "The model's file says that it ranks, but it has no head for that (cls.weight or cls.output.weight): convert the model again.",
    );
  }
  const labels = facts?.classifier?.output_labels;
  const givesProbability = yesNoArchitectures.has(String(metadata.general.architecture));
  if (Array.isArray(labels) && labels.length > 1 && !givesProbability) {
    throw new Error(`The model sorts texts into ${labels.length} classes; only a model with one score can rerank.`);
  }
  return { form: pairForm(model), givesProbability };
}

function pairForm(model: LlamaModel): PairForm {
  const addon = reachEmbeddingModel(model);
  const { bos, eos, sep } = model.tokens;
  const begin = addon.shouldPrependBosToken() ? ids(bos) : [];
  const { ggml, ...templates } = model.fileInfo.metadata.tokenizer ?? {};
  const template = (templates as Record<string, unknown>)["chat_template.rerank"];
  if (typeof template === "string") return { template };
  // BERT: [CLS] query [SEP] document [SEP], whatever the engine's flags say: it leaves out the last one.
  if (model.vocabularyType === "wpm") {
    const separator = ids(sep ?? eos);
    return { begin: ids(bos), between: separator, end: separator };
  }
  // RoBERTa: <s> query </s></s> document </s>. Older files do not say that the separator comes too.
  const end = addon.shouldAppendEosToken() ? ids(eos ?? sep) : [];
  const separated = (ggml as { add_sep_token?: unknown } | undefined)?.add_sep_token !== false;
  const between = [...end, ...(separated ? ids(sep) : [])];
  if (between.length > 0) return { begin, between, end };
  throw new Error(
    "The model's file does not say what parts query and document: it has neither a separator nor a template.",
  );
}

function ids(token: number | null): number[] {
  return token === null ? [] : [token];
}
