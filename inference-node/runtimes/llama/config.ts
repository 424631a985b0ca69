// Reads the native engine's own settings from the environment: its device, its memory, where its reports go.
import { join } from "node:path";
import { ConfigError, type Environment, integer, oneOf } from "../../env-values.ts";
import type { DeviceOptions } from "./protocol.ts";

export interface EngineConfig {
  readonly device: DeviceOptions;
  /** Most MB of saved prompts; 0 saves none. */
  readonly prefixCacheMb: number;
  /** Folder on a disk for what there is no more room for, and its most MB. */
  readonly prefixSpill: { readonly dir: string; readonly mb: number } | undefined;
  /** Most tokens that are guessed ahead; 0 guesses none. */
  readonly guessTokensMax: number;
  /** Resident memory of the native child, in MB, above which it is replaced; undefined sets no ceiling. */
  readonly childMemoryMaxMb: number | undefined;
  /** Folder of the reports on children that died; undefined writes none. */
  readonly crashDir: string | undefined;
  /** What the child's environment gets on top of what it inherits. */
  readonly deviceEnv: Readonly<Record<string, string>>;
}

/** A GPU if the engine's build for one is there, and what the engine itself chooses. */
export const anyDevice: DeviceOptions = {
  gpu: "auto",
  gpuLayers: undefined,
  flashAttention: "auto",
  kvType: "f16",
  kernelCache: undefined,
};

const gpuNames = ["auto", "cuda", "vulkan", "metal", "cpu"] as const;
const kvTypes = ["f16", "q8_0", "q4_0"] as const;
const flashAttentionModes = ["auto", "on", "off"] as const;
/** The most that the driver takes: compiled kernels of one build for one card have some hundred MB. */
const cudaCacheBytes = "4294967296";

/** Reads and checks the variables. Throws a ConfigError for the first that is wrong. */
export function readEngineConfig(env: Environment): EngineConfig {
  refuseUnknownSplit(env);
  const flashAttention = oneOf(env, "SLUICE_FLASH_ATTENTION", flashAttentionModes, "auto");
  const kvType = oneOf(env, "SLUICE_KV_TYPE", kvTypes, "f16");
  if (kvType !== "f16" && flashAttention === "off") {
    throw new ConfigError(
      `SLUICE_KV_TYPE=${kvType} needs flash attention: leave SLUICE_FLASH_ATTENTION at auto, or keep f16.`,
    );
  }
  const deviceEnv = deviceEnvironment(env);
  return {
    device: {
      gpu: oneOf(env, "SLUICE_GPU", gpuNames, "auto"),
      gpuLayers: integer(env, "SLUICE_GPU_LAYERS", 0, 100_000),
      flashAttention,
      kvType,
      kernelCache: env.CUDA_CACHE_PATH || deviceEnv.CUDA_CACHE_PATH,
    },
    prefixCacheMb: integer(env, "SLUICE_PREFIX_CACHE_MB", 0, 2 ** 24) ?? 256,
    prefixSpill: prefixSpill(env),
    guessTokensMax: guessTokensMax(env),
    childMemoryMaxMb: integer(env, "SLUICE_CHILD_MEMORY_MAX_MB", 64, 2 ** 24),
    crashDir: crashFolder(env),
    deviceEnv,
  };
}

/** The engine's package hands neither of them on to llama.cpp: better no start than cards that are loaded otherwise. */
function refuseUnknownSplit(env: Environment): void {
  for (const name of ["SLUICE_TENSOR_SPLIT", "SLUICE_MAIN_GPU"]) {
    if (!env[name]) continue;
    throw new ConfigError(
      `${name} can't be honoured: the engine splits a model's layers over the cards by the memory that is free on each. ` +
        "Name the cards, the main one first, by SLUICE_GPU_DEVICES.",
    );
  }
}

function guessTokensMax(env: Environment): number {
  const mode = oneOf(env, "SLUICE_SPECULATION", ["off", "prompt-lookup"], "off");
  const most = integer(env, "SLUICE_SPECULATION_TOKENS", 1, 64);
  if (mode === "off" && most !== undefined) {
    throw new ConfigError("SLUICE_SPECULATION_TOKENS needs SLUICE_SPECULATION=prompt-lookup.");
  }
  return mode === "off" ? 0 : (most ?? 4);
}

function prefixSpill(env: Environment): EngineConfig["prefixSpill"] {
  const dir = env.SLUICE_PREFIX_SPILL_DIR || undefined;
  const mb = integer(env, "SLUICE_PREFIX_SPILL_MB", 1, 2 ** 24);
  if (dir === undefined && mb !== undefined) {
    throw new ConfigError("SLUICE_PREFIX_SPILL_MB needs SLUICE_PREFIX_SPILL_DIR, a folder on a disk.");
  }
  return dir === undefined ? undefined : { dir, mb: mb ?? 4096 };
}

function deviceEnvironment(env: Environment): Record<string, string> {
  const set: Record<string, string> = {};
  const devices = env.SLUICE_GPU_DEVICES || undefined;
  if (devices !== undefined) {
    if (!/^\d{1,3}(,\d{1,3})*$/.test(devices) || new Set(devices.split(",")).size < devices.split(",").length) {
      throw new ConfigError(
        `SLUICE_GPU_DEVICES must be different numbers of cards with commas between them, as "0,1", but is "${devices}".`,
      );
    }
    set.CUDA_VISIBLE_DEVICES = devices;
    set.GGML_VK_VISIBLE_DEVICES = devices;
  }
  // As nvidia-smi counts them, rather than the fastest first.
  if (!env.CUDA_DEVICE_ORDER) set.CUDA_DEVICE_ORDER = "PCI_BUS_ID";
  const cache = cacheFolder(env);
  // Kernels that the driver compiled at the first use are there at the next start.
  if (!env.CUDA_CACHE_PATH && cache !== undefined) set.CUDA_CACHE_PATH = join(cache, "cuda");
  if (!env.CUDA_CACHE_MAXSIZE) set.CUDA_CACHE_MAXSIZE = cudaCacheBytes;
  return set;
}

function crashFolder(env: Environment): string | undefined {
  if (env.SLUICE_CRASH_DIR) return env.SLUICE_CRASH_DIR;
  const cache = cacheFolder(env);
  return cache && join(cache, "crashes");
}

function cacheFolder(env: Environment): string | undefined {
  const cache = env.XDG_CACHE_HOME || (env.HOME && join(env.HOME, ".cache"));
  return cache ? join(cache, "sluice") : undefined;
}
