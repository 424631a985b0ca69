// The loop target over a stand-in child process.
import { afterEach, expect, it } from "vitest";
import { LoopTarget } from "./loop-target.ts";

const program = new URL("./fixtures/loop-child.ts", import.meta.url);
const options = { modelPath: "fine", threads: 3, sequences: 4, contextLength: 512, batchTokens: 512, program };
const sampling = { maxTokens: 4, temperature: 0, ignoreEos: false };
const never = new AbortController().signal;
let target: LoopTarget | undefined;

afterEach(() => target?.close());

async function opened(): Promise<LoopTarget> {
  target = new LoopTarget(options);
  await target.open(never);
  return target;
}

it("turns the child's times into the figures of a round", async () => {
  const record = await (await opened()).round({ streams: [["a"], ["b"]], sampling }, never);
  expect(record.requests).toBe(2);
  expect(record.completionTokens).toBe(8);
  expect(record.promptTokens).toBe(154);
  expect(record.wallMs).toBe(80);
  expect(record.tokensPerSecond).toBe(100);
  expect(record.ttft.percentile(0.5)).toBe(50);
  expect(record.itl.percentile(1)).toBe(10);
  expect(record.itl.count).toBe(6);
  expect(record.countedByChunks).toBe(0);
});

it("counts a prompt's tokens as the model does, and names the model", async () => {
  const loop = await opened();
  expect(await loop.countPromptTokens("x", never)).toBe(77);
  expect(loop.model).toBe("stand-in.gguf");
  expect(loop.label).toBe("bare loop, 3 threads, 4 x 512 tokens");
});

it("adds up what the loop used of the processor while the other target ran", async () => {
  const loop = await opened();
  await loop.round({ streams: [["a"]], sampling }, never);
  await loop.round({ streams: [["a"]], sampling }, never);
  expect(loop.idleCpuMs).toBe(6);
});

it("leaves no process behind", async () => {
  const loop = await opened();
  const pid = loop.pid ?? 0;
  expect(() => process.kill(pid, 0)).not.toThrow();
  await loop.close();
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  await loop.close();
});
