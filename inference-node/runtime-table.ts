// The runtimes by name: adding one is one line here.
import type { Clock } from "./clock.ts";
import type { NodeConfig, RuntimeName } from "./config.ts";
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
  llama: async (config, deps) => (await import("./native-models.ts")).createNativeModels(config, deps),
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
