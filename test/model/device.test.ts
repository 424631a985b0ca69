// The engine's device settings, run on the CPU: flash attention and each type of keys and values give the model's answer.
import { expect, test } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { anyDevice } from "../../inference-node/runtimes/llama/config.ts";
import { defaultModelRuntime } from "../support/default-model.ts";
import { generate, userPrompt } from "../support/generate.ts";

const question = userPrompt("What is the capital of France?");

async function answer(
  device: Partial<typeof anyDevice>,
): Promise<{ text: string; fingerprint: string; loaded: LogEntry }> {
  const entries: LogEntry[] = [];
  const runtime = await defaultModelRuntime({ sequences: 2, entries, device: { ...anyDevice, gpu: "cpu", ...device } });
  try {
    await runtime.start();
    const { text, finished } = await generate(runtime, question, 16, { sampling: { temperature: 0 } });
    const loaded = entries.find(({ event }) => event === "runtime.loaded") as LogEntry;
    return { text, fingerprint: finished.systemFingerprint, loaded };
  } finally {
    await runtime.close();
  }
}

test.each([
  ["flash attention on", { flashAttention: "on" }],
  ["flash attention off", { flashAttention: "off" }],
  ["keys and values of 8 bits", { kvType: "q8_0" }],
] as const)("%s gives the model's answer", async (_name, device) => {
  const { text } = await answer(device);
  expect(text).toContain("Paris");
});

test("keys and values of fewer bits take less memory, and the fingerprint says that other numbers come out", async () => {
  const [whole, quarter] = [await answer({}), await answer({ kvType: "q4_0" })];
  expect(Number(quarter.loaded.kv_memory_mb)).toBeLessThan(Number(whole.loaded.kv_memory_mb) / 2);
  expect(quarter.fingerprint).toContain("q4_0");
  expect(whole.fingerprint).not.toContain("f16");
});

test("the start says what it computes on, and how much there is of it", async () => {
  const { loaded } = await answer({});
  expect(loaded).toMatchObject({
    level: "info",
    gpu: "cpu",
    gpu_layers: 0,
    sequences: 2,
    context_length: 1024,
    threads: 1,
    batch_tokens: expect.any(Number),
    kv_memory_mb: expect.any(Number),
  });
});

test("a GPU whose build of the engine is not installed is refused with the command that adds it", async () => {
  await expect(answer({ gpu: "cuda" })).rejects.toThrow(
    /SLUICE_GPU=cuda needs .*`npm pkg delete .* && npm install --no-save @node-llama-cpp\/[\w-]+-cuda@3\.21\.1.*SLUICE_GPU=cpu/,
  );
});

test("auto takes the CPU where no GPU build is installed", async () => {
  expect((await answer({ gpu: "auto" })).loaded).toMatchObject({ gpu: "cpu" });
});
