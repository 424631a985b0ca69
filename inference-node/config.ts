// Reads the node's configuration from the environment, once; a wrong value is one clear sentence.
import { hostname } from "node:os";
import { join } from "node:path";
import { ConfigError, type Environment, integer, oneOf } from "./env-values.ts";
import type { LogLevel } from "./log.ts";
import { DEFAULT_EMBEDDING_MODEL, DEFAULT_MODEL } from "./model-source/catalogue.ts";
import { type EngineConfig, readEngineConfig } from "./runtimes/llama/config.ts";
import { type EmbeddingConfig, modelList, readEmbeddingConfig } from "./runtimes/llama/embedding-config.ts";
import { readTracingConfig, type TracingConfig } from "./tracing-config.ts";

export interface NodeConfig {
  readonly runtime: RuntimeName;
  /** Each a path to a .gguf file, an `hf:` URI or a catalogue id; the first one is the default. */
  readonly models: readonly string[];
  /** Likewise, of models that make embeddings beside them. */
  readonly embeddingModels: readonly string[];
  readonly embedding: EmbeddingConfig;
  /** Path of a Jinja file in place of the model's own chat template. */
  readonly chatTemplate: string | undefined;
  readonly host: string;
  readonly grpcPort: number;
  readonly webPort: number;
  readonly secret: string | undefined;
  /** Paths of PEM files. */
  readonly tls: { cert: string; key: string; clientCa: string | undefined } | undefined;
  readonly nodeId: string;
  readonly drainGraceMs: number;
  readonly queueDepthMax: number;
  readonly queueTokensMax: number;
  /** Part of a model's slots that batch work may hold together, and of its queue. */
  readonly batchSlotsPercent: number;
  /** How long a new request is held while its model restarts; 0 refuses it at once, for a proxy with other nodes. */
  readonly restartHoldMs: number;
  /** How long a native engine that has work may finish no step, or answer nothing, before it is replaced. */
  readonly stepTimeoutMs: number;
  /** How long a native engine may take to load its model. */
  readonly loadTimeoutMs: number;
  readonly threads: number | undefined;
  readonly sequences: number | undefined;
  readonly contextLength: number | undefined;
  readonly batchTokens: number | undefined;
  readonly kvMemoryMb: number | undefined;
  readonly defaultMaxTokens: number | undefined;
  readonly logLevel: LogLevel;
  /** Where spans go; undefined sends none. */
  readonly tracing: TracingConfig | undefined;
  /** The native engine's own settings. */
  readonly engine: EngineConfig;
  /** The native child's whole environment; no secret is in it. */
  readonly childEnv: Readonly<Record<string, string>>;
}

const runtimeNames = ["llama", "scripted", "openai"] as const;
export type RuntimeName = (typeof runtimeNames)[number];

const secretCharsMin = 16;
const logLevels = ["debug", "info", "warn", "error"] as const;
/** What a native engine and its drivers read. */
const childVariables =
  /^(PATH|HOME|TMPDIR|LANG|LC_\w+|TZ|LD_LIBRARY_PATH|XDG_CACHE_HOME|(CUDA|NVIDIA|GGML|GOMP|OMP)_\w+)$/;

/** Reads and checks the variables that docs/node.md lists. Throws a ConfigError for the first that is wrong. */
export function readConfig(env: Environment = process.env): NodeConfig {
  const tls = tlsFiles(env);
  const engine = readEngineConfig(env);
  return {
    runtime: oneOf(env, "SLUICE_RUNTIME", runtimeNames, "llama"),
    models: modelList(env, "SLUICE_MODEL", DEFAULT_MODEL, false),
    embeddingModels: modelList(env, "SLUICE_EMBEDDING_MODEL", DEFAULT_EMBEDDING_MODEL, true),
    embedding: readEmbeddingConfig(env),
    chatTemplate: env.SLUICE_CHAT_TEMPLATE || undefined,
    host: env.SLUICE_NODE_HOST || "127.0.0.1",
    grpcPort: integer(env, "SLUICE_NODE_GRPC_PORT", 0, 65_535) ?? 50_051,
    webPort: integer(env, "SLUICE_NODE_WEB_PORT", 0, 65_535) ?? 50_052,
    secret: secretOf(env, tls?.clientCa !== undefined),
    tls,
    nodeId: env.SLUICE_NODE_ID || hostname(),
    drainGraceMs: integer(env, "SLUICE_DRAIN_GRACE_MS", 0, 86_400_000) ?? 30_000,
    queueDepthMax: integer(env, "SLUICE_QUEUE_DEPTH_MAX", 0, 1_000_000) ?? 256,
    queueTokensMax: integer(env, "SLUICE_QUEUE_TOKENS_MAX", 0, 2 ** 31) ?? 1_048_576,
    batchSlotsPercent: integer(env, "SLUICE_BATCH_SLOTS_PERCENT", 1, 100) ?? 75,
    restartHoldMs: integer(env, "SLUICE_RESTART_HOLD_MS", 0, 60_000) ?? 5_000,
    stepTimeoutMs: integer(env, "SLUICE_STEP_TIMEOUT_MS", 1_000, 86_400_000) ?? 60_000,
    loadTimeoutMs: integer(env, "SLUICE_LOAD_TIMEOUT_MS", 1_000, 86_400_000) ?? 900_000,
    threads: integer(env, "SLUICE_THREADS", 1, 1_024),
    sequences: integer(env, "SLUICE_SEQUENCES", 1, 4_096),
    contextLength: integer(env, "SLUICE_CONTEXT_LENGTH", 16, 2 ** 24),
    batchTokens: integer(env, "SLUICE_BATCH_TOKENS", 1, 2 ** 20),
    kvMemoryMb: integer(env, "SLUICE_KV_MEMORY_MB", 1, 2 ** 24),
    defaultMaxTokens: integer(env, "SLUICE_DEFAULT_MAX_TOKENS", 1, 2 ** 24),
    logLevel: oneOf(env, "SLUICE_LOG_LEVEL", logLevels, "info"),
    tracing: readTracingConfig(env),
    engine,
    childEnv: { ...childEnvironment(env), ...engine.deviceEnv },
  };
}

function tlsFiles(env: Environment): NodeConfig["tls"] {
  const cert = env.SLUICE_NODE_TLS_CERT || undefined;
  const key = env.SLUICE_NODE_TLS_KEY || undefined;
  const clientCa = env.SLUICE_NODE_TLS_CLIENT_CA || undefined;
  if (cert !== undefined && key !== undefined) return { cert, key, clientCa };
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined;
  throw new ConfigError("TLS needs both SLUICE_NODE_TLS_CERT and SLUICE_NODE_TLS_KEY.");
}

function secretOf(env: Environment, mutualTls: boolean): string | undefined {
  const secret = env.SLUICE_NODE_SECRET || undefined;
  if (secret === undefined && mutualTls) return undefined;
  if (secret === undefined) {
    throw new ConfigError("SLUICE_NODE_SECRET must be set, or SLUICE_NODE_TLS_CLIENT_CA for client certificates.");
  }
  // The value itself stays out of the message: it may be a real secret that was cut short.
  if (secret.length < secretCharsMin) {
    throw new ConfigError(`SLUICE_NODE_SECRET must have at least ${secretCharsMin} characters.`);
  }
  if (!/^[\x21-\x7e]+$/.test(secret)) {
    throw new ConfigError("SLUICE_NODE_SECRET must be of printable ASCII characters without spaces.");
  }
  return secret;
}

function childEnvironment(env: Environment): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && childVariables.test(name)) kept[name] = value;
  }
  const cache = env.XDG_CACHE_HOME || (env.HOME && join(env.HOME, ".cache"));
  // Compiled code of the engine's package: a third of a second less until a restarted child answers.
  if (cache) kept.NODE_COMPILE_CACHE = join(cache, "sluice", "compile-cache");
  return kept;
}
