// What a node takes for itself on cards of several sizes, by the numbers of an 8B model.
import { expect, test } from "vitest";
import { defaultKvBytes, deviceDefaults, planCapacity } from "./memory.ts";

/** Llama 3 8B: 32 layers, 8 key-value heads of 128, two bytes each; weights in Q8_0 take 8.5 GB. */
const kvBytesPerToken = 32 * 2 * 8 * 128 * 2;
const weights = 8.5e9;

const plan = (vram: number) =>
  planCapacity({
    kvBytesMax: defaultKvBytes(64e9, vram - weights),
    sequences: undefined,
    contextLength: undefined,
    trainContextLength: 131_072,
    kvBytesPerToken,
    device: deviceDefaults(vram),
  });

test.each([
  ["80 GB", 80e9, 40, 64],
  ["40 GB", 40e9, 16, 32],
])("an A100 of %s serves dozens of sequences of 8,192 tokens and fills its memory", (_name, vram, least, most) => {
  const { sequences, contextLength, kvBytes } = plan(vram);
  expect(contextLength).toBe(8_192);
  expect(sequences).toBeGreaterThanOrEqual(least);
  expect(sequences).toBeLessThanOrEqual(most);
  const free = vram - weights;
  expect(kvBytes).toBeGreaterThan(free * 0.7);
  expect(kvBytes).toBeLessThan(free * 0.9);
});

test("a larger card takes larger steps, a CPU keeps its own defaults", () => {
  expect(deviceDefaults(80e9).batchTokens).toBeGreaterThan(deviceDefaults(16e9).batchTokens);
  expect(deviceDefaults(0)).toEqual({ sequencesWanted: 16, contextLengthFloor: 2048, batchTokens: 512 });
  expect(defaultKvBytes(64e9)).toBe(0.8e9);
});

test("keys and values never take more than a card has free", () => {
  for (const free of [1e9, 2e9, 10e9]) expect(defaultKvBytes(64e9, free)).toBeLessThan(free);
});
