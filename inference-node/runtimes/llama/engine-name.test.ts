// A fingerprint stays with the kernels, and changes with them.
import { expect, test } from "vitest";
import { type EngineFacts, engineName } from "./engine-name.ts";

const facts: EngineFacts = {
  release: "b1",
  gpu: "cpu",
  gpuDevices: [],
  systemInfo: "CPU : AVX2 = 1 | FMA = 1 | ",
  flashAttention: "auto",
  kvType: "f16",
};

test("an engine is named by release, device and kernels, the same at every start", () => {
  expect(engineName(facts)).toMatch(/^llama\.cpp-b1-cpu-[0-9a-f]{8}$/);
  expect(engineName({ ...facts })).toBe(engineName(facts));
  expect(engineName({ ...facts, kvType: "q8_0" })).toBe(`${engineName(facts)}-q8_0`);
});

test.each([
  { release: "b2" },
  { systemInfo: "CPU : AVX2 = 1 | FMA = 1 | AVX512 = 1 | " },
  { gpu: "cuda", gpuDevices: ["NVIDIA A100-SXM4-80GB"] },
  { flashAttention: "off" },
])("other numbers come of %j, and another name", (other) => {
  expect(engineName({ ...facts, ...other })).not.toBe(engineName(facts));
});
