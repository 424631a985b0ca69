// A wrong variable is one sentence that names it.
import { expect, it } from "vitest";
import { readConfig } from "./config.ts";
import { ConfigError } from "./env-values.ts";

const secret = "0123456789abcdef";

it.each<[string, Record<string, string>]>([
  ["SLUICE_RUNTIME must be one of llama, scripted, openai", { SLUICE_RUNTIME: "vllm" }],
  ["SLUICE_NODE_GRPC_PORT must be a whole number from 0 to 65535", { SLUICE_NODE_GRPC_PORT: "65536" }],
  ["SLUICE_SEQUENCES must be a whole number", { SLUICE_SEQUENCES: "0" }],
  ["SLUICE_SEQUENCES must be a whole number", { SLUICE_SEQUENCES: "1.5" }],
  ["SLUICE_THREADS must be a whole number", { SLUICE_THREADS: "-1" }],
  ["SLUICE_MODEL must name models with commas between them", { SLUICE_MODEL: "a.gguf,,b.gguf" }],
  ["SLUICE_EMBEDDING_MODEL must name models", { SLUICE_EMBEDDING_MODEL: "a.gguf," }],
  ["SLUICE_EMBEDDING_GPU must be one of auto", { SLUICE_EMBEDDING_GPU: "tpu" }],
  ["SLUICE_EMBEDDING_INPUT_TOKENS_MAX must be a whole number", { SLUICE_EMBEDDING_INPUT_TOKENS_MAX: "8" }],
  ["SLUICE_LOG_LEVEL must be one of", { SLUICE_LOG_LEVEL: "loud" }],
  ["TLS needs both", { SLUICE_NODE_TLS_CERT: "c" }],
  ["TLS needs both", { SLUICE_NODE_TLS_CLIENT_CA: "a" }],
  ["SLUICE_NODE_SECRET must be set", { SLUICE_NODE_SECRET: "" }],
  ["SLUICE_NODE_SECRET must be set", { SLUICE_NODE_SECRET: "", SLUICE_NODE_TLS_CERT: "c", SLUICE_NODE_TLS_KEY: "k" }],
  ["SLUICE_NODE_SECRET must have at least 16 characters", { SLUICE_NODE_SECRET: "short-secret" }],
  ["SLUICE_NODE_SECRET must be of printable ASCII", { SLUICE_NODE_SECRET: "a secret with spaces" }],
])("says: %s", (sentence, env) => {
  const read = (): unknown => readConfig({ SLUICE_NODE_SECRET: secret, ...env });
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(sentence);
});
