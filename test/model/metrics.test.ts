// What the native engine adds to the node's metrics: its steps, its keys and values, its memory, its prefix hits.

import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { parseExposition, sampleOf } from "../../inference-node/testing/exposition.ts";
import { startTestNode, type TestNode } from "../../inference-node/testing/test-node.ts";
import { GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { userPrompt } from "../support/generate.ts";

const labels = { model_name: DEFAULT_MODEL };
const prompt = userPrompt("Tell me of the dog. ".repeat(40));
let node: TestNode;
let ids = 0;

beforeAll(async () => {
  node = await startTestNode({ runtime: await defaultModelRuntime({ sequences: 2 }), restartHoldMs: 5_000 });
});

afterAll(() => node.close());

const read = async (name: string): Promise<number> => sampleOf(parseExposition(await node.metrics()), name, labels);

function ask(onDelta: () => void = () => undefined) {
  const request = create(GenerateRequestSchema, {
    requestId: `metrics-${++ids}`,
    model: DEFAULT_MODEL,
    prompt,
    sampling: { temperature: 0 },
    stopping: { maxTokens: 40, ignoreEos: true },
  });
  return node.clients.native.generate(request, { onEvent: ({ event }) => event.case === "delta" && onDelta() });
}

test("a generation is seen in the engine's steps and in the room for keys and values while it runs", async () => {
  expect(await read("sluice_kv_cache_usage_perc")).toBe(0);
  const during: Promise<number>[] = [];
  const { failure } = await ask(() => during.push(read("sluice_kv_cache_usage_perc")));
  expect(failure).toBeUndefined();
  const usage = await Promise.all(during);
  // Some 200 prompt tokens of two sequences of 1,024.
  expect(Math.max(...usage)).toBeGreaterThan(0.05);
  expect(Math.max(...usage)).toBeLessThan(0.5);
  expect(await read("sluice_kv_cache_usage_perc")).toBe(0);
  const tokens = (await read("sluice_prompt_tokens_total")) + (await read("sluice_generation_tokens_total"));
  // The last token is given out and not decoded again.
  expect(await read("sluice_iteration_tokens_total_sum")).toBe(tokens - 1);
  expect(await read("sluice_iteration_duration_seconds_sum")).toBeGreaterThan(0);
  expect(await read("sluice_runtime_resident_memory_bytes")).toBeGreaterThan(50e6);
});

test("the same prompt again hits the prefix cache with all but its last token", async () => {
  const [queries, hits, computed] = [
    await read("sluice_prefix_cache_queries_total"),
    await read("sluice_prefix_cache_hits_total"),
    await read("sluice_iteration_tokens_total_sum"),
  ];
  await ask();
  const asked = (await read("sluice_prefix_cache_queries_total")) - queries;
  const hit = (await read("sluice_prefix_cache_hits_total")) - hits;
  expect(asked).toBeGreaterThan(150);
  expect(hit).toBeGreaterThan(asked * 0.9);
  expect(hit).toBeLessThan(asked);
  expect((await read("sluice_iteration_tokens_total_sum")) - computed).toBe(asked - hit + 39);
});

test("guessed tokens are counted, and so are those that turned out right, as tokens of the steps that check them", async () => {
  const runtime = await defaultModelRuntime({ sequences: 1, guessTokensMax: 4 });
  const guessing = await startTestNode({ runtime, restartHoldMs: 5_000 });
  const value = async (name: string): Promise<number> =>
    sampleOf(parseExposition(await guessing.metrics()), name, labels);
  try {
    const { failure } = await guessing.clients.native.generate(
      create(GenerateRequestSchema, {
        requestId: "guess",
        model: DEFAULT_MODEL,
        prompt: userPrompt("Repeat: no no no no no no no no no no no no"),
        sampling: { temperature: 0 },
        stopping: { maxTokens: 60, ignoreEos: true },
      }),
    );
    expect(failure).toBeUndefined();
    const [drafted, accepted] = [
      await value("sluice_spec_decode_num_draft_tokens_total"),
      await value("sluice_spec_decode_num_accepted_tokens_total"),
    ];
    expect(accepted).toBeGreaterThan(0);
    expect(drafted).toBeGreaterThanOrEqual(accepted);
    const tokens = (await value("sluice_prompt_tokens_total")) + (await value("sluice_generation_tokens_total"));
    const computed = await value("sluice_iteration_tokens_total_sum");
    expect(computed).toBeGreaterThanOrEqual(tokens - 1 + drafted - accepted - 4);
    expect(await value("sluice_iteration_tokens_total_count")).toBeLessThan(60);
  } finally {
    await guessing.close();
  }
});
