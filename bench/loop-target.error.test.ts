// The loop target when its child fails, dies or hangs.
import { afterEach, describe, expect, it } from "vitest";
import { LoopTarget } from "./loop-target.ts";
import { BenchError } from "./target.ts";

const standIn = new URL("./fixtures/loop-child.ts", import.meta.url);
const sampling = { maxTokens: 4, temperature: 0, ignoreEos: false };
const plan = { streams: [["a"]], sampling };
const never = new AbortController().signal;
let target: LoopTarget | undefined;

afterEach(() => target?.close());

function makeTarget(modelPath: string, program?: URL): LoopTarget {
  const sizes = { threads: 1, sequences: 1, contextLength: 256, batchTokens: 256 };
  target = new LoopTarget({ modelPath, ...sizes, ...(program === undefined ? {} : { program }) });
  return target;
}

describe("LoopTarget", () => {
  it("says what the loop says when a model does not load", async () => {
    await expect(makeTarget("refuses", standIn).open(never)).rejects.toThrow(
      new BenchError("the decode loop failed: no such model"),
    );
  });

  it("fails with the engine's sentence when the real loop is given no model file", async () => {
    await expect(makeTarget("/nowhere/missing.gguf").open(never)).rejects.toThrow(
      /the decode loop failed: .*missing\.gguf/,
    );
  });

  it("ends the round with the last line of its stderr when the loop dies", async () => {
    const loop = makeTarget("dies", standIn);
    await loop.open(never);
    await expect(loop.round(plan, never)).rejects.toThrow("the decode loop died (exit code 134): assertion failed");
    await expect(loop.round(plan, never)).rejects.toThrow(BenchError);
  });

  it("stops waiting for a round at once when interrupted", async () => {
    const loop = makeTarget("hangs", standIn);
    await loop.open(never);
    const controller = new AbortController();
    const round = loop.round(plan, controller.signal);
    controller.abort(new BenchError("interrupted"));
    await expect(round).rejects.toThrow("interrupted");
  });

  it("refuses a round before it was opened", async () => {
    await expect(makeTarget("fine", standIn).round(plan, never)).rejects.toThrow("not running");
  });
});
