// Sequences and context fit the memory that is allowed, and what the operator fixed stays.
import { describe, expect, it } from "vitest";
import { type CapacityLimits, defaultKvBytes, planCapacity } from "./memory.ts";

const small: CapacityLimits = {
  kvBytesMax: 1.6e9,
  sequences: undefined,
  contextLength: undefined,
  trainContextLength: 8192,
  kvBytesPerToken: 23_040,
};

describe("planCapacity", () => {
  it("keeps 16 sequences by halving the context", () => {
    expect(planCapacity(small)).toMatchObject({ sequences: 16, contextLength: 4096 });
  });

  it("keeps the whole context where the memory has room", () => {
    expect(planCapacity({ ...small, kvBytesMax: 8e9 })).toMatchObject({ sequences: 16, contextLength: 8192 });
  });

  it("gives up sequences rather than go below 2,048 tokens", () => {
    const eightBillion = { ...small, kvBytesPerToken: 131_072, trainContextLength: 131_072 };
    expect(planCapacity(eightBillion)).toMatchObject({ sequences: 5, contextLength: 2048 });
  });

  it("does what the operator asks: context, sequences or both", () => {
    expect(planCapacity({ ...small, contextLength: 8192 })).toMatchObject({ sequences: 8, contextLength: 8192 });
    expect(planCapacity({ ...small, sequences: 4 })).toMatchObject({ sequences: 4, contextLength: 8192 });
    expect(planCapacity({ ...small, sequences: 3, contextLength: 1024 })).toMatchObject({
      sequences: 3,
      contextLength: 1024,
    });
  });

  it("never plans more than is allowed, and whole granules of 256 tokens", () => {
    for (let kvBytesMax = 1e8; kvBytesMax < 2e10; kvBytesMax *= 1.37) {
      for (const trainContextLength of [512, 2048, 4096, 10_000, 131_072]) {
        const plan = planCapacity({ ...small, kvBytesMax, trainContextLength });
        expect(plan.kvBytes).toBeLessThanOrEqual(kvBytesMax);
        expect(plan.contextLength % 256).toBe(0);
        expect(plan.contextLength).toBeLessThanOrEqual(trainContextLength);
      }
    }
  });

  it("says what to change when it can't fit", () => {
    expect(() => planCapacity({ ...small, sequences: 32, contextLength: 8192 })).toThrow(
      "32 sequences of 8192 tokens need 6040 MB for keys and values, and 1600 MB are allowed; lower SLUICE_SEQUENCES",
    );
  });
});

describe("defaultKvBytes", () => {
  it("is an eighth of the machine, and at most 0.8 GB", () => {
    expect(defaultKvBytes(4e9)).toBe(0.5e9);
    expect(defaultKvBytes(64e9)).toBe(0.8e9);
  });
});
