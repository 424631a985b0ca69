// The shared runtime contract, asked of the native runtime with the default model.
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { runtimeContract } from "../../inference-node/runtimes/runtime-contract.ts";
import { defaultModelRuntime } from "../support/default-model.ts";

runtimeContract("llama", () => defaultModelRuntime(), {
  model: DEFAULT_MODEL,
  longMessage: "Write a long story about a dog that finds a treasure map in an old house by the sea.",
  slowPrefillMessage: "A dog and a cat walk along the sea. ".repeat(70),
  abortWithinMs: 5_000,
});
