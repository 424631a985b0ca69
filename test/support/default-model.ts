// The default model for tests that need weights: fetched once, then taken from the cache.

import { systemClock } from "../../inference-node/clock.ts";
import type { LogEntry } from "../../inference-node/log.ts";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import type { LlamaRuntimeOptions } from "../../inference-node/runtimes/llama/model-options.ts";
import { createLlamaRuntime } from "../../inference-node/runtimes/llama.ts";

/** A llama runtime on the default model, small enough to start in a second; not started yet. */
export async function defaultModelRuntime(
  options: Partial<LlamaRuntimeOptions> & { entries?: LogEntry[] } = {},
): Promise<Runtime> {
  const model = await resolveModel(DEFAULT_MODEL);
  const { entries, ...rest } = options;
  return createLlamaRuntime({
    modelPath: model.path,
    modelId: model.id,
    chatTemplate: model.serving?.chatTemplate,
    sequences: 16,
    contextLength: 1024,
    threads: 1,
    stepTimeoutMs: 60_000,
    loadTimeoutMs: 60_000,
    clock: systemClock,
    log: (entry) => entries?.push(entry),
    ...rest,
  });
}
