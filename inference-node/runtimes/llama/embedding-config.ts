// Reads from the environment which embedding models the native engine serves beside the others, and how.
import { ConfigError, type Environment, integer, oneOf } from "../../env-values.ts";
import type { DeviceOptions } from "./protocol.ts";

export interface EmbeddingConfig {
  readonly gpu: DeviceOptions["gpu"];
  /** Most tokens of an input, if the model takes more. */
  readonly inputTokensMax: number;
}

const gpuNames = ["auto", "cuda", "vulkan", "metal", "cpu"] as const;

/** Reads and checks the variables. Throws a ConfigError for the first that is wrong. */
export function readEmbeddingConfig(env: Environment): EmbeddingConfig {
  return {
    // Small models are fast enough there, and leave the card to those that need it.
    gpu: oneOf(env, "SLUICE_EMBEDDING_GPU", gpuNames, "cpu"),
    inputTokensMax: integer(env, "SLUICE_EMBEDDING_INPUT_TOKENS_MAX", 16, 131_072) ?? 2_048,
  };
}

/** References with commas between them, the first one the default; `none` names none where that is allowed. */
export function modelList(env: Environment, name: string, fallback: string, none: boolean): readonly string[] {
  const text = env[name] || fallback;
  if (none && text.trim().toLowerCase() === "none") return [];
  const references = text.split(",").map((reference) => reference.trim());
  if (!references.includes("")) return references;
  throw new ConfigError(`${name} must name models with commas between them, but one of them has no name.`);
}
