// The runtimes by name: adding one is one line here.
import { readFile } from "node:fs/promises";
import type { Clock } from "./clock.ts";
import type { NodeConfig, RuntimeName } from "./config.ts";
import { ConfigError } from "./env-values.ts";
import type { Log } from "./log.ts";
import type { Runtime } from "./runtime.ts";

export interface RuntimeDeps {
  log: Log;
  clock: Clock;
  /** Aborted when the process is to stop before the runtime was made. */
  signal: AbortSignal;
}

type Create = (config: NodeConfig, deps: RuntimeDeps) => Promise<Runtime>;

// Imported on demand: the scripted runtime must start without the native engine's packages.
const table: Record<RuntimeName, Create> = {
  llama: createLlama,
  scripted: async ({ sequences, contextLength, defaultMaxTokens }, { clock }) => {
    const { createScriptedRuntime } = await import("./runtimes/scripted.ts");
    return createScriptedRuntime({ sequences, contextLength, defaultMaxTokens, clock });
  },
  openai: async ({ sequences, contextLength, defaultMaxTokens }, { clock, log }) => {
    const { readOpenAiConfig } = await import("./runtimes/openai/config.ts");
    const { createOpenAiRuntime } = await import("./runtimes/openai.ts");
    const config = readOpenAiConfig();
    return createOpenAiRuntime({ config, sequences, contextLength, defaultMaxTokens, clock, log });
  },
};

/** Makes the runtime that the configuration names. Rejects with a sentence for the operator. */
export function createRuntime(config: NodeConfig, deps: RuntimeDeps): Promise<Runtime> {
  return table[config.runtime](config, deps);
}

async function createLlama(config: NodeConfig, { log, clock, signal }: RuntimeDeps): Promise<Runtime> {
  const { resolveModel } = await import("./model-source/resolve.ts");
  const { createLlamaRuntime } = await import("./runtimes/llama.ts");
  const model = await resolveModel(config.model, {
    clock,
    signal,
    onNotice: (sentence) => log({ level: "warn", event: "model.notice", message: sentence }),
  });
  log({ level: "info", event: "model.resolved", model: model.id, source: model.source, bytes: model.bytes });
  const { threads, sequences, contextLength, batchTokens, kvMemoryMb, defaultMaxTokens, childEnv } = config;
  const { stepTimeoutMs, loadTimeoutMs } = config;
  const { quantization, license, ownedBy, serving } = model;
  return createLlamaRuntime({
    modelPath: model.path,
    modelId: model.id,
    quantization,
    license,
    ownedBy,
    threads,
    sequences,
    contextLength,
    batchTokens,
    kvMemoryMb,
    defaultMaxTokens,
    device: config.engine.device,
    childMemoryMaxMb: config.engine.childMemoryMaxMb,
    crashDir: config.engine.crashDir,
    prefixCacheMb: config.engine.prefixCacheMb,
    prefixSpill: config.engine.prefixSpill,
    childEnv,
    stepTimeoutMs,
    loadTimeoutMs,
    chatTemplate: await chatTemplate(config.chatTemplate, serving?.chatTemplate),
    samplingDefaults: { temperature: serving?.temperature, topP: serving?.topP },
    log,
    clock,
  });
}

/** The operator's template file, else the catalogue's; undefined leaves it to the model's file. */
async function chatTemplate(path: string | undefined, fromCatalogue: string | undefined): Promise<string | undefined> {
  if (path === undefined) return fromCatalogue;
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new ConfigError(`SLUICE_CHAT_TEMPLATE: ${path} can't be read: ${String(cause)}`);
  }
}
