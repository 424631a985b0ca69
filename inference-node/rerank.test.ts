// Rerank is admitted, bounded, ended and drained as a generation is, and waits for a model that says late what it is.
import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import {
  type RerankRequest,
  type RerankResponse,
  RerankResponseSchema,
} from "../proto/gen/sluice/inference/v1/embed_pb.js";
import { Capability, ModelState } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { unlessAborted } from "./call.ts";
import { systemClock } from "./clock.ts";
import { JoinedRuntime } from "./joined-runtime.ts";
import { Code } from "./node-error.ts";
import { namedRuntime } from "./testing/named-runtime.ts";
import type { TestClient } from "./testing/test-client.ts";
import { eventually, startTestNode, type TestNode, type TestNodeOptions } from "./testing/test-node.ts";

const open: TestNode[] = [];

afterEach(async () => {
  for (const node of open.splice(0)) await node.close();
});

const rerank = (client: TestClient, more: object = {}): Promise<RerankResponse> =>
  client.unary("rerank", { requestId: "r", model: "m", query: "Which?", documents: ["one", "two"], ...more });
const answer = create(RerankResponseSchema, { results: [{ index: 1, relevanceScore: 0.5 }], promptTokens: 9 });

/** A node whose only slot computes until it is told to finish, or its caller leaves. */
async function start(options: TestNodeOptions = {}) {
  const gate = Promise.withResolvers<void>();
  const asked: RerankRequest[] = [];
  const ended: unknown[] = [];
  const runtime = namedRuntime("m", {
    sequences: 1,
    capabilities: [Capability.RERANK],
    rerank: async (request, signal) => {
      asked.push(request);
      signal.addEventListener("abort", () => ended.push(signal.reason), { once: true });
      await unlessAborted(gate.promise, signal);
      return answer;
    },
  });
  const node = await startTestNode({ runtime, ...options });
  open.push(node);
  return { node, gate, asked, ended };
}

describe("Rerank", () => {
  it("brings the request whole to the runtime, and its answer back, through both doors", async () => {
    const { node, gate, asked } = await start();
    gate.resolve();
    for (const client of Object.values(node.clients)) {
      const response = await rerank(client, { topN: 1, truncate: true, tenant: "t" });
      expect(response).toMatchObject({ results: [{ index: 1, relevanceScore: 0.5 }], promptTokens: 9 });
    }
    const whole = { query: "Which?", documents: ["one", "two"], topN: 1, truncate: true, tenant: "t" };
    expect(asked).toMatchObject([whole, whole]);
  });

  it("waits for its slot, and is refused with a retry delay when the queue is full", async () => {
    const { node, gate, asked } = await start({ queueDepthMax: 1 });
    const first = rerank(node.clients.native);
    await eventually(() => asked.length === 1);
    const second = rerank(node.clients.web);
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 1);
    const refusal = { code: Code.RESOURCE_EXHAUSTED, reason: "QUEUE_FULL", retryMs: expect.any(Number) };
    await expect(rerank(node.clients.web)).rejects.toMatchObject(refusal);
    expect(asked).toHaveLength(1);
    gate.resolve();
    expect(await Promise.all([first, second])).toHaveLength(2);
    expect(await node.metric("sluice_num_requests_running")).toBe(0);
  });

  it("is cut off as UNAVAILABLE when the node has drained for its grace", async () => {
    const { node, asked, ended } = await start();
    const refusal = { code: Code.UNAVAILABLE, reason: "DRAINING" };
    const outcome = expect(rerank(node.clients.native)).rejects.toMatchObject(refusal);
    await eventually(() => asked.length === 1);
    await node.node.shutDown(0);
    await outcome;
    expect(ended).toHaveLength(1);
  });

  it("does not refuse a model that loads for what it may turn out to be", async () => {
    const loading = Promise.withResolvers<void>();
    let capability = Capability.EMBEDDINGS;
    let reads = 0;
    const late = namedRuntime("m", { rerank: async () => answer, onStart: () => loading.promise });
    // As a file that is still to be fetched: nobody knows that it ranks.
    const models = () => {
      reads += 1;
      return late.models().map((model) => ({ ...model, capabilities: [capability] }));
    };
    const later = [{ ...late, models }];
    const runtime = new JoinedRuntime({
      required: [namedRuntime("a")],
      later,
      clock: systemClock,
      log: () => undefined,
    });
    const node = await startTestNode({ runtime, restartHoldMs: 30_000 });
    open.push(node);
    expect(runtime.models()[1]?.state).toBe(ModelState.LOADING);
    reads = 0;
    const held = rerank(node.clients.native);
    await eventually(() => reads > 0);
    reads = 0;
    const wrong = expect(node.clients.web.unary("embed", { requestId: "e", model: "m", inputs })).rejects.toMatchObject(
      {
        code: Code.UNIMPLEMENTED,
        metadata: { param: "model" },
      },
    );
    await eventually(() => reads > 0);
    capability = Capability.RERANK;
    loading.resolve();
    expect(await held).toMatchObject({ promptTokens: 9 });
    await wrong;
  });
});

const inputs = [{ input: { case: "text", value: "dog" } }];
