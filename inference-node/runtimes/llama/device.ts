// Opens llama.cpp on the device that the operator named, and says in a sentence why it can't.
import { mkdir } from "node:fs/promises";
import { getLlama, type Llama, LlamaLogLevel } from "node-llama-cpp";
import type { DeviceOptions } from "./protocol.ts";

type Gpu = "cuda" | "vulkan" | "metal";

/** The version that all packages of the engine have. */
const engineVersion = "3.21.1";

export interface OpenOptions {
  readonly device: DeviceOptions;
  readonly logger: (level: LlamaLogLevel, message: string) => void;
}

/**
 * Opens the engine. `auto` looks only at GPU builds that are installed, which keeps the start on a CPU as short as it was,
 * and takes the CPU when none works. Rejects with a sentence when the device that was named can't be had.
 */
export async function openEngine({ device, logger }: OpenOptions): Promise<Llama> {
  const open = (gpu: Gpu | false): Promise<Llama> =>
    getLlama({ gpu, build: "never", skipDownload: true, logLevel: LlamaLogLevel.warn, logger });
  if (device.gpu === "cpu") return await open(false);
  for (const gpu of device.gpu === "auto" ? gpusOf(process.platform) : [device.gpu]) {
    const installed = await isInstalled(gpu);
    if (!installed && device.gpu === "auto") continue;
    if (!installed) throw new Error(notInstalled(gpu));
    await makeKernelCache(device);
    try {
      const llama = await open(gpu);
      if (llama.gpu === gpu) return llama;
    } catch (thrown) {
      if (device.gpu !== "auto") throw unusable(gpu, thrown);
      logger(LlamaLogLevel.warn, `the ${gpu} build is installed but can't be used: ${String(thrown)}`);
      continue;
    }
    if (device.gpu !== "auto") throw unusable(gpu, "the engine took another device");
  }
  return await open(false);
}

/** A driver that finds no folder keeps nothing; one that can't be made costs time at the next start, no more. */
async function makeKernelCache({ kernelCache }: DeviceOptions): Promise<void> {
  if (kernelCache !== undefined) await mkdir(kernelCache, { recursive: true }).catch(() => undefined);
}

/** What a platform may have, the fastest first. */
function gpusOf(platform: string): readonly Gpu[] {
  return platform === "darwin" ? ["metal"] : ["cuda", "vulkan"];
}

function packageOf(gpu: Gpu): string {
  const platform = { darwin: "mac", win32: "win" }[process.platform as string] ?? process.platform;
  return `@node-llama-cpp/${platform}-${process.arch}-${gpu}`;
}

async function isInstalled(gpu: Gpu): Promise<boolean> {
  try {
    await import(packageOf(gpu));
    return true;
  } catch {
    return false;
  }
}

function notInstalled(gpu: Gpu): string {
  const name = packageOf(gpu);
  if (gpu === "metal" || process.platform === "darwin") {
    return `SLUICE_GPU=${gpu}: there is no such build of the engine for this platform; set SLUICE_GPU=cpu or auto.`;
  }
  const names = gpu === "cuda" ? [name, `${name}-ext`] : [name];
  const overrides = names.map((one) => `'overrides.${one}'`).join(" ");
  const packages = names.map((one) => `${one}@${engineVersion}`).join(" ");
  return (
    `SLUICE_GPU=${gpu} needs the engine's ${gpu} build, which is not part of the default install. Add it with ` +
    `\`npm pkg delete ${overrides} && npm install --no-save ${packages}\` (docs/gpu.md), or set SLUICE_GPU=cpu.`
  );
}

/** Why a model did not load, and what to do; `reason` is the engine's own words. */
export function loadFailure(modelPath: string, reason: string): Error {
  if (/memory|alloc/i.test(reason)) {
    return new Error(
      `The model ${modelPath} does not fit (${reason}): set SLUICE_GPU_LAYERS lower, or to 0 for the CPU, name a smaller ` +
        "or a more quantised model, or free memory.",
    );
  }
  return new Error(
    `The model ${modelPath} can't be loaded (${reason}): the file is damaged, cut short, or of a kind that this engine ` +
      "does not know; fetch it again, or name another model.",
  );
}

/** Why there is no room to run a model that was loaded. */
export function contextFailure(reason: string): Error {
  return new Error(
    `The engine made no context for the model (${reason}): lower SLUICE_SEQUENCES, SLUICE_CONTEXT_LENGTH, ` +
      "SLUICE_BATCH_TOKENS or SLUICE_KV_MEMORY_MB, or set SLUICE_KV_TYPE=q8_0.",
  );
}

function unusable(gpu: Gpu, thrown: unknown): Error {
  const needs = {
    cuda: "an NVIDIA driver that `nvidia-smi` lists the card with, and libcudart and libcublas of CUDA 12.4 or 13.1 or newer",
    vulkan: "libvulkan and a driver that `vulkaninfo` lists the card with",
    metal: "a Mac with Apple silicon",
  }[gpu];
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new Error(
    `SLUICE_GPU=${gpu}: the engine's ${gpu} build can't be used on this machine (${reason}). It needs ${needs}; see ` +
      "docs/gpu.md, or set SLUICE_GPU=cpu.",
    { cause: thrown },
  );
}
