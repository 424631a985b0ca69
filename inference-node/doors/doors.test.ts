// Both doors give the same service: streams, deadlines, hang-ups and the unary methods.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EmbedResponse } from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { ControlAction, FinishReason, type Usage } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { JournalResponse } from "../../proto/gen/sluice/inference/v1/journal_pb.js";
import type { ListModelsResponse } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import type {
  CountTokensResponse,
  DetokenizeResponse,
  TokenizeResponse,
} from "../../proto/gen/sluice/inference/v1/tokenize_pb.js";
import { Code } from "../node-error.ts";
import { casesOf, scripted, type TestClient, textOf } from "../testing/test-client.ts";
import { eventually, startTestNode, type TestNode } from "../testing/test-node.ts";

let node: TestNode;

beforeAll(async () => {
  node = await startTestNode({ sequences: 2 });
});

afterAll(() => node.close());

const slow = { text: "one two three four five six seven eight", delay_ms: 20 };

describe.each(["native", "web"] as const)("%s door", (door) => {
  const client = (): TestClient => node.clients[door];
  const idle = (): Promise<void> => eventually(async () => (await node.metric("sluice_num_requests_running")) === 0);

  it("streams admitted, prefilled, deltas and one finished, numbered from 1", async () => {
    const result = await client().generate(scripted({ text: "Hello, world", chunks: 3 }));
    expect(result.failure).toBeUndefined();
    expect(casesOf(result)).toEqual(["admitted", "prefilled", "delta", "delta", "delta", "finished"]);
    expect(result.events.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
    expect(textOf(result)).toBe("Hello, world");
  });

  it("sends each delta when it is made", async () => {
    const times: number[] = [];
    await client().generate(scripted({ text: "a b c d e", chunks: 5, delay_ms: 30 }), {
      onEvent: () => times.push(performance.now()),
    });
    const deltas = times.slice(2, -1);
    expect((deltas.at(-1) ?? 0) - (deltas[0] ?? 0)).toBeGreaterThan(90);
  });

  it("fills usage and timings", async () => {
    const { events } = await client().generate(scripted({ text: "Hello", prefill_ms: 20 }));
    const last = events.at(-1)?.event;
    if (last?.case !== "finished") throw new Error("no finished");
    expect(last.value.usage).toMatchObject({ completionTokens: 2 } satisfies Partial<Usage>);
    expect(last.value.timings?.queue).toBeDefined();
    expect(last.value.timings?.prefill?.nanos).toBeGreaterThan(15e6);
  });

  it("merges deltas to messages a stream interval apart, losing nothing", async () => {
    const request = scripted(
      { text: "a b c d e f g h", chunks: 15, delay_ms: 5 },
      { streamInterval: { seconds: 0n, nanos: 4e7 } },
    );
    const result = await client().generate(request);
    expect(textOf(result)).toBe("a b c d e f g h");
    expect(casesOf(result).filter((name) => name === "delta").length).toBeLessThan(8);
    expect(result.events.map(({ sequence }) => Number(sequence))).toEqual(result.events.map((_, index) => index + 1));
  });

  it("ends a stream at its deadline and frees the slot", async () => {
    const result = await client().generate(scripted(slow), { timeoutMs: 60 });
    expect(result.failure?.code).toBe(Code.DEADLINE_EXCEEDED);
    await idle();
    expect(node.entries.at(-1)).toMatchObject({ event: "generate.end", code: "DEADLINE_EXCEEDED" });
  });

  it("frees the slot when the caller hangs up while it decodes", async () => {
    const controller = new AbortController();
    const request = scripted(slow);
    const result = await client().generate(request, {
      signal: controller.signal,
      onEvent: ({ event }) => event.case === "delta" && controller.abort(),
    });
    expect(result.failure?.code).toBe(Code.CANCELLED);
    await idle();
    const ended = node.entries.find((entry) => entry.request_id === request.requestId);
    expect(ended).toMatchObject({ event: "generate.end", code: "CANCELLED" });
    expect(ended?.duration_ms).toBeLessThan(100);
  });

  it("frees the slot when the caller hangs up while it prefills", async () => {
    const controller = new AbortController();
    await client().generate(scripted({ text: "never", prefill_ms: 60_000 }), {
      signal: controller.signal,
      onEvent: ({ event }) => event.case === "admitted" && setTimeout(() => controller.abort(), 10),
    });
    await idle();
  });

  it("tells how many are ahead and lets a queued caller leave", async () => {
    const running = new AbortController();
    const holders = [1, 2].map(() =>
      client().generate(scripted({ ...slow, delay_ms: 1_000 }), { signal: running.signal }),
    );
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 2);
    const queued = new AbortController();
    const left = client().generate(scripted(slow), {
      signal: queued.signal,
      onEvent: ({ event }) => {
        if (event.case === "admitted") expect(event.value.queuePosition).toBe(1);
      },
    });
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 1);
    queued.abort();
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 0);
    expect(await node.metric("sluice_num_requests_running")).toBe(2);
    running.abort();
    await Promise.all([left, ...holders]);
    await idle();
  });

  it("cancels by Control, ending the stream with Finished", async () => {
    const request = scripted(slow);
    const result = await client().generate(request, {
      onEvent: ({ event }) => {
        if (event.case === "delta") void client().control(request.requestId, ControlAction.CANCEL);
      },
    });
    expect(result.failure).toBeUndefined();
    const last = result.events.at(-1)?.event;
    expect(last?.case === "finished" && last.value.reason).toBe(FinishReason.CANCELLED);
    expect((await client().control(request.requestId, ControlAction.CANCEL)).applied).toBe(false);
  });

  it("answers now by Control: what is left of the reasoning is skipped", async () => {
    const request = scripted({ reasoning: "a b c d e f g h i j k l", text: "42", delay_ms: 15 });
    let asked = false;
    const result = await client().generate(request, {
      onEvent: ({ event }) => {
        if (event.case === "delta" && !asked) {
          asked = true;
          void client().control(request.requestId, ControlAction.ANSWER_NOW);
        }
      },
    });
    expect(textOf(result)).toBe("42");
    const pieces = result.events.filter(({ event }) => event.case === "delta" && event.value.part.case === "reasoning");
    expect(pieces.length).toBeLessThan(10);
    const last = result.events.at(-1)?.event;
    expect(last?.case === "finished" && last.value.usage?.reasoningTokens).toBe(pieces.length);
  });

  it("remembers what was generated", async () => {
    const request = scripted({ text: "Hello" }, { tenant: "acme" });
    await client().generate(request);
    const { entries, bootId } = await client().unary<JournalResponse>("journal", {
      requestIds: [request.requestId, "unknown"],
    });
    expect(bootId).not.toBe("");
    expect(entries).toMatchObject([
      { requestId: request.requestId, tenant: "acme", running: false, reason: FinishReason.STOP, statusCode: 0 },
    ]);
    expect(entries[0]?.usage?.completionTokens).toBe(2);
  });

  it("lists the model with its bounds", async () => {
    const { models, nodeId } = await client().unary<ListModelsResponse>("listModels", {});
    expect(nodeId).toBe("test-node");
    expect(models).toMatchObject([{ id: "scripted", runtime: "scripted", sequences: 2, contextLength: 32_768 }]);
  });

  it("tokenizes, detokenizes and counts as Generate does", async () => {
    const { tokenIds } = await client().unary<TokenizeResponse>("tokenize", { model: "scripted", text: "Hello 👋🏽" });
    const { text } = await client().unary<DetokenizeResponse>("detokenize", { model: "scripted", tokenIds });
    expect(text).toBe("Hello 👋🏽");
    const request = scripted("How many?");
    const counted = await client().unary<CountTokensResponse>("countTokens", {
      model: "scripted",
      prompt: request.prompt,
    });
    const { events } = await client().generate(request);
    const prefilled = events[1]?.event;
    expect(prefilled?.case === "prefilled" && prefilled.value.promptTokens).toBe(counted.promptTokens);
  });

  it("embeds into unit vectors, the same for the same text", async () => {
    const inputs = ["a", "b", "a"].map((value) => ({ input: { case: "text", value } }));
    const { embeddings } = await client().unary<EmbedResponse>("embed", {
      requestId: "e",
      model: "scripted",
      inputs,
      dimensions: 8,
    });
    const [a, b, again] = embeddings.map(({ values }) => values);
    expect(a).toHaveLength(8);
    expect(Math.hypot(...(a ?? []))).toBeCloseTo(1, 5);
    expect(again).toEqual(a);
    expect(b).not.toEqual(a);
  });

  it("runs sixteen streams at once without mixing them", async () => {
    const texts = Array.from({ length: 16 }, (_, index) => `stream ${index} `.repeat(index + 1));
    const results = await Promise.all(texts.map((text) => client().generate(scripted({ text, delay_ms: 1 }))));
    expect(results.map(textOf)).toEqual(texts);
  });
});
