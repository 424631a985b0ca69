// The environment is read with the documented defaults.
import { expect, it } from "vitest";
import { readConfig } from "./config.ts";

const secret = "0123456789abcdef";

it("has safe defaults: loopback, bounded queue, no TLS", () => {
  expect(readConfig({ SLUICE_NODE_SECRET: secret })).toMatchObject({
    runtime: "llama",
    models: ["smollm2-135m-instruct"],
    embeddingModels: ["all-minilm-l6-v2"],
    host: "127.0.0.1",
    grpcPort: 50_051,
    webPort: 50_052,
    secret,
    tls: undefined,
    drainGraceMs: 30_000,
    queueDepthMax: 256,
    batchSlotsPercent: 75,
    sequences: undefined,
    logLevel: "info",
  });
});

it("takes every variable, and an empty one as absent", () => {
  const config = readConfig({
    SLUICE_NODE_SECRET: secret,
    SLUICE_RUNTIME: "scripted",
    SLUICE_MODEL: "",
    SLUICE_NODE_HOST: "::1",
    SLUICE_NODE_GRPC_PORT: "0",
    SLUICE_NODE_WEB_PORT: "",
    SLUICE_SEQUENCES: "3",
    SLUICE_QUEUE_DEPTH_MAX: "0",
    SLUICE_BATCH_SLOTS_PERCENT: "50",
    SLUICE_LOG_LEVEL: "debug",
  });
  expect(config).toMatchObject({
    runtime: "scripted",
    host: "::1",
    grpcPort: 0,
    webPort: 50_052,
    sequences: 3,
    queueDepthMax: 0,
    batchSlotsPercent: 50,
  });
});

it("takes several models, and none for embeddings", () => {
  const read = (env: Record<string, string>) => readConfig({ SLUICE_NODE_SECRET: secret, ...env });
  expect(read({ SLUICE_MODEL: "a.gguf, hf:o/r/b.gguf" }).models).toEqual(["a.gguf", "hf:o/r/b.gguf"]);
  expect(read({ SLUICE_EMBEDDING_MODEL: "None" }).embeddingModels).toEqual([]);
  expect(read({ SLUICE_EMBEDDING_MODEL: "x.gguf,y.gguf" }).embeddingModels).toEqual(["x.gguf", "y.gguf"]);
  expect(read({}).embedding).toEqual({ gpu: "cpu", inputTokensMax: 2_048 });
});

it("needs no secret when it asks for client certificates", () => {
  const config = readConfig({ SLUICE_NODE_TLS_CERT: "c", SLUICE_NODE_TLS_KEY: "k", SLUICE_NODE_TLS_CLIENT_CA: "a" });
  expect(config).toMatchObject({ secret: undefined, tls: { cert: "c", key: "k", clientCa: "a" } });
});
