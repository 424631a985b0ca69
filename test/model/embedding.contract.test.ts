// The shared embedding contract, asked of the native runtime with its two kinds of tokenizer.
import { DEFAULT_EMBEDDING_MODEL, DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { embeddingContract } from "../../inference-node/runtimes/embedding-contract.ts";
import { embeddingRuntime } from "../support/embedding-model.ts";

embeddingContract("llama, BERT", () => embeddingRuntime(), { model: DEFAULT_EMBEDDING_MODEL });

// A model that was not made for it still shows that a file's own tokenizer and pooling are taken.
embeddingContract(
  "llama, a decoder with the engine's own tokenizer",
  () =>
    embeddingRuntime({
      modelId: DEFAULT_MODEL,
      locate: async () => (await resolveModel(DEFAULT_MODEL)).path,
      inputTokensMax: 64,
    }),
  { model: DEFAULT_MODEL },
);
