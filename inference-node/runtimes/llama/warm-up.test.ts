// The warm-up decodes something as small as a CPU needs or as large as a GPU's kernels want, and leaves nothing behind.
import { expect, test } from "vitest";
import type { Engine } from "./engine.ts";
import { warmUp } from "./warm-up.ts";

interface Seen {
  readonly batches: number[];
  readonly freed: (number | "sampler")[];
}

function engineOf(gpu: "cpu" | "cuda", contextLength = 4096, fails = false): { engine: Engine; seen: Seen } {
  const seen: Seen = { batches: [], freed: [] };
  const positions = new Set<number>();
  const engine = {
    info: { gpu, batchTokens: 2048, contextLength },
    vocabulary: { size: 3 },
    addon: {
      createSampler: () => ({ dispose: () => seen.freed.push("sampler") }),
      context: {
        initBatch: (size: number) => seen.batches.push(size),
        addToBatch: (_slot: number, position: number, tokens: Uint32Array, logits: Uint32Array) => {
          tokens.forEach((token, i) => {
            if (token >= 3 || positions.has(position + i) || position + i >= contextLength)
              throw new Error("bad token");
            positions.add(position + i);
          });
          return logits;
        },
        decodeBatch: async () => {
          if (fails) throw new Error("no kernel");
        },
        sampleToken: async () => 1,
        disposeSequence: (slot: number) => seen.freed.push(slot),
      },
    },
  } as unknown as Engine;
  return { engine, seen };
}

test("a CPU decodes a few tokens, a GPU a batch as large as its steps may be", async () => {
  const [cpu, gpu] = [engineOf("cpu"), engineOf("cuda")];
  await warmUp(cpu.engine);
  await warmUp(gpu.engine);
  expect(cpu.seen.batches).toEqual([4, 1]);
  expect(gpu.seen.batches).toEqual([512, 1]);
});

test("a context of a few tokens is not outgrown", async () => {
  const { engine, seen } = engineOf("cuda", 16);
  await warmUp(engine);
  expect(seen.batches).toEqual([14, 1]);
});

test("the slot and the sampler are free again, also when the engine fails", async () => {
  const good = engineOf("cpu");
  await warmUp(good.engine);
  expect(good.seen.freed).toEqual(["sampler", 0]);
  const bad = engineOf("cpu", 4096, true);
  await expect(warmUp(bad.engine)).rejects.toThrow("no kernel");
  expect(bad.seen.freed).toEqual(["sampler", 0]);
});
