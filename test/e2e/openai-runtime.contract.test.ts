// The shared runtime contract, asked of the runtime openai in front of a real engine: a whole Sluice over its public API.
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../inference-node/clock.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { readOpenAiConfig } from "../../inference-node/runtimes/openai/config.ts";
import { createOpenAiRuntime } from "../../inference-node/runtimes/openai.ts";
import { runtimeContract } from "../../inference-node/runtimes/runtime-contract.ts";
import { untilSlots } from "../support/chat.ts";
import { type Stack, startStack } from "../support/stack.ts";

const text =
  "All happy families are alike; each unhappy family is unhappy in its own way. 你好 👋🏽 — and so on, and so on.";

let engine: Stack;

beforeAll(async () => {
  engine = await startStack({ runtime: "scripted" });
});

afterAll(async () => {
  await untilSlots(engine, 0, 0);
  await engine.stop();
});

function runtime(more: Record<string, string> = {}): Runtime {
  const config = readOpenAiConfig({ SLUICE_OPENAI_URL: `${engine.url}/v1`, SLUICE_OPENAI_KEY: engine.apiKey, ...more });
  return createOpenAiRuntime({ config, clock: systemClock, log: () => undefined });
}

runtimeContract("openai", () => runtime(), {
  model: "scripted",
  longMessage: JSON.stringify({ text, delay_ms: 1 }),
  slowPrefillMessage: JSON.stringify({ text, prefill_ms: 5_000 }),
  abortWithinMs: 1_000,
  tokenizes: false,
});

test("a wrong key is one sentence that says what to set, without the key", async () => {
  const refused = runtime({ SLUICE_OPENAI_KEY: "sk-of-somebody-else" });
  const sentence = await refused.start().then(
    () => "it started",
    (error: Error) => error.message,
  );
  await refused.close();
  expect(sentence).toMatch(/refuses the key .*\(401\): set SLUICE_OPENAI_KEY/);
  expect(sentence).not.toContain("sk-of-somebody-else");
});
