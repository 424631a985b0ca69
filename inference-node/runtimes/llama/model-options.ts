// What the native runtime is made with, and how it describes its model.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  Capability,
  type Model,
  ModelSchema,
  type ModelState,
} from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import type { Clock } from "../../clock.ts";
import type { LogEntry } from "../../log.ts";
import type { DeviceOptions, LoadedModel } from "./protocol.ts";

/** What tokens are drawn with when the request does not say. */
export interface SamplingDefaults {
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
}

export interface LlamaRuntimeOptions {
  readonly modelPath: string;
  readonly modelId: string;
  readonly threads?: number | undefined;
  readonly sequences?: number | undefined;
  readonly contextLength?: number | undefined;
  readonly batchTokens?: number | undefined;
  readonly kvMemoryMb?: number | undefined;
  /** Models that share the memory which is meant for keys and values; 1 when left out. */
  readonly memoryShares?: number | undefined;
  /** Any device when left out. */
  readonly device?: DeviceOptions | undefined;
  readonly defaultMaxTokens?: number | undefined;
  readonly quantization?: string | undefined;
  readonly license?: string | undefined;
  readonly ownedBy?: string | undefined;
  /** In place of the file's own chat template. */
  readonly chatTemplate?: string | undefined;
  readonly samplingDefaults?: SamplingDefaults | undefined;
  /** Most MB of saved prompts; 0 saves none, undefined 256. */
  readonly prefixCacheMb?: number | undefined;
  readonly prefixSpill?: { readonly dir: string; readonly mb: number } | undefined;
  /** Most tokens that are guessed ahead from what was said before; undefined guesses none. */
  readonly guessTokensMax?: number | undefined;
  /** The child's environment; must hold no secret. */
  readonly childEnv?: Readonly<Record<string, string>> | undefined;
  /** Resident MB above which the child is replaced; undefined sets no ceiling. */
  readonly childMemoryMaxMb?: number | undefined;
  /** Where reports on children that died go; undefined writes none. */
  readonly crashDir?: string | undefined;
  /** How long the engine may finish no step, or answer nothing, while it has work. */
  readonly stepTimeoutMs: number;
  /** How long the engine may take to load the model. */
  readonly loadTimeoutMs: number;
  readonly log: (entry: LogEntry) => void;
  readonly clock: Clock;
}

/** Output limit of a request that names none, in tokens. */
const defaultMaxTokens = 1024;

/** The model as `ListModels` tells it; what the file says is unknown until it is loaded. */
export function modelMessage(
  options: LlamaRuntimeOptions,
  loaded: LoadedModel | undefined,
  now: { state: ModelState; capabilities: readonly Capability[]; createdAtMs: number },
): Model {
  const contextLength = loaded?.contextLength ?? 0;
  return create(ModelSchema, {
    id: options.modelId,
    state: now.state,
    contextLength,
    defaultMaxTokens: Math.min(options.defaultMaxTokens ?? defaultMaxTokens, contextLength),
    capabilities: [
      Capability.LOGPROBS,
      Capability.STRUCTURED_OUTPUT,
      ...now.capabilities,
      ...(loaded?.hasFillInMiddle ? [Capability.FILL_IN_MIDDLE] : []),
    ],
    quantization: options.quantization ?? loaded?.quantization ?? "",
    license: options.license ?? loaded?.license ?? "",
    ownedBy: options.ownedBy ?? loaded?.organization ?? "",
    createdAt: timestampFromMs(now.createdAtMs),
    runtime: "llama",
    sequences: loaded?.sequences ?? 0,
  });
}

/** What the engine came up with, for whoever sizes a node. */
export function loadedEntry(model: LoadedModel, residentBytes = 0): LogEntry {
  const { gpu, gpuDevices, gpuLayers, layers, sequences, contextLength, batchTokens, threads, kvMemoryMb } = model;
  return {
    level: "info",
    event: "runtime.loaded",
    gpu,
    gpu_devices: gpuDevices,
    gpu_layers: gpuLayers,
    layers,
    sequences,
    context_length: contextLength,
    batch_tokens: batchTokens,
    threads,
    kv_memory_mb: kvMemoryMb,
    resident_mb: Math.round(residentBytes / 1e6),
  };
}
