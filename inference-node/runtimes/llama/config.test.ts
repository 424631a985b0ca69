// The engine's own settings: what is said reaches the engine, what can't be honoured is refused by name.
import { expect, it } from "vitest";
import { ConfigError } from "../../env-values.ts";
import { readEngineConfig } from "./config.ts";

it("leaves device, layers and flash attention to the engine, and keeps keys and values whole", () => {
  expect(readEngineConfig({})).toMatchObject({
    device: { gpu: "auto", gpuLayers: undefined, flashAttention: "auto", kvType: "f16" },
    childMemoryMaxMb: undefined,
  });
});

it("takes every setting", () => {
  const env = {
    SLUICE_GPU: "cuda",
    SLUICE_GPU_LAYERS: "0",
    SLUICE_FLASH_ATTENTION: "on",
    SLUICE_KV_TYPE: "q8_0",
    SLUICE_CHILD_MEMORY_MAX_MB: "4000",
    SLUICE_CRASH_DIR: "/var/crashes",
  };
  expect(readEngineConfig(env)).toMatchObject({
    device: { gpu: "cuda", gpuLayers: 0, flashAttention: "on", kvType: "q8_0" },
    childMemoryMaxMb: 4000,
    crashDir: "/var/crashes",
  });
});

it("shows the engine only the cards that were named, the main one first", () => {
  expect(readEngineConfig({ SLUICE_GPU_DEVICES: "2,0" }).deviceEnv).toMatchObject({
    CUDA_VISIBLE_DEVICES: "2,0",
    GGML_VK_VISIBLE_DEVICES: "2,0",
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
  });
  expect(readEngineConfig({}).deviceEnv).not.toHaveProperty("CUDA_VISIBLE_DEVICES");
});

it("keeps compiled kernels in the user's cache, unless the operator says where", () => {
  const { device, deviceEnv } = readEngineConfig({ HOME: "/home/u" });
  expect(deviceEnv).toMatchObject({ CUDA_CACHE_PATH: "/home/u/.cache/sluice/cuda", CUDA_CACHE_MAXSIZE: "4294967296" });
  expect(device.kernelCache).toBe("/home/u/.cache/sluice/cuda");
  const own = readEngineConfig({ HOME: "/home/u", CUDA_CACHE_PATH: "/k", CUDA_CACHE_MAXSIZE: "1" });
  expect(own.deviceEnv).not.toHaveProperty("CUDA_CACHE_PATH");
  expect(own.deviceEnv).not.toHaveProperty("CUDA_CACHE_MAXSIZE");
  expect(own.device.kernelCache).toBe("/k");
});

it.each<[string, Record<string, string>]>([
  ["SLUICE_GPU must be one of auto, cuda, vulkan, metal, cpu", { SLUICE_GPU: "rocm" }],
  ["SLUICE_GPU_LAYERS must be a whole number", { SLUICE_GPU_LAYERS: "-1" }],
  ["SLUICE_FLASH_ATTENTION must be one of auto, on, off", { SLUICE_FLASH_ATTENTION: "true" }],
  ["SLUICE_KV_TYPE must be one of f16, q8_0, q4_0", { SLUICE_KV_TYPE: "q2" }],
  ["SLUICE_KV_TYPE=q4_0 needs flash attention", { SLUICE_KV_TYPE: "q4_0", SLUICE_FLASH_ATTENTION: "off" }],
  [
    'SLUICE_GPU_DEVICES must be different numbers of cards with commas between them, as "0,1"',
    { SLUICE_GPU_DEVICES: "0,0" },
  ],
  ["SLUICE_GPU_DEVICES must be", { SLUICE_GPU_DEVICES: "0;rm" }],
  ["SLUICE_TENSOR_SPLIT can't be honoured", { SLUICE_TENSOR_SPLIT: "3,1" }],
  ["SLUICE_MAIN_GPU can't be honoured", { SLUICE_MAIN_GPU: "1" }],
  ["SLUICE_CHILD_MEMORY_MAX_MB must be a whole number", { SLUICE_CHILD_MEMORY_MAX_MB: "1GB" }],
])("says: %s", (sentence, env) => {
  expect(() => readEngineConfig(env)).toThrow(ConfigError);
  expect(() => readEngineConfig(env)).toThrow(sentence);
});
