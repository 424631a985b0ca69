// Embed is admitted, bounded, ended and drained as a generation is.
import { create } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { type EmbedResponse, EmbedResponseSchema } from "../proto/gen/sluice/inference/v1/embed_pb.js";
import { unlessAborted } from "./call.ts";
import { Code } from "./node-error.ts";
import { namedRuntime } from "./testing/named-runtime.ts";
import type { TestClient } from "./testing/test-client.ts";
import { eventually, startTestNode, type TestNode, type TestNodeOptions } from "./testing/test-node.ts";

const open: TestNode[] = [];

afterEach(async () => {
  for (const node of open.splice(0)) await node.close();
});

const inputs = (count = 1) => Array.from({ length: count }, () => ({ input: { case: "text", value: "dog" } }));
const embed = (client: TestClient, more: object = {}): Promise<EmbedResponse> =>
  client.unary("embed", { requestId: "e", model: "m", inputs: inputs(), ...more });

/** A node whose only slot computes until it is told to finish, or its caller leaves. */
async function start(options: TestNodeOptions = {}) {
  const gate = Promise.withResolvers<void>();
  const ended: unknown[] = [];
  const computing = { count: 0 };
  const runtime = namedRuntime("m", {
    sequences: 1,
    embed: async (_request, signal) => {
      computing.count += 1;
      signal.addEventListener("abort", () => ended.push(signal.reason), { once: true });
      await unlessAborted(gate.promise, signal);
      return create(EmbedResponseSchema, { promptTokens: 3 });
    },
  });
  const node = await startTestNode({ runtime, ...options });
  open.push(node);
  return { node, gate, ended, computing };
}

describe("Embed", () => {
  it("waits for its slot, and is refused with a retry delay when the queue is full", async () => {
    const { node, gate, computing } = await start({ queueDepthMax: 1 });
    const first = embed(node.clients.native);
    await eventually(() => computing.count === 1);
    const second = embed(node.clients.web);
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 1);
    const refusal = { code: Code.RESOURCE_EXHAUSTED, reason: "QUEUE_FULL", retryMs: expect.any(Number) };
    await expect(embed(node.clients.web)).rejects.toMatchObject(refusal);
    expect(computing.count).toBe(1);
    gate.resolve();
    expect(await Promise.all([first, second])).toHaveLength(2);
    expect(await node.metric("sluice_num_requests_running")).toBe(0);
  });

  it("ends when the node has drained for its grace, and gets all of it before", async () => {
    const { node, gate, ended, computing } = await start();
    const finishes = embed(node.clients.native);
    await eventually(() => computing.count === 1);
    const down = node.node.shutDown(60_000);
    await expect(embed(node.clients.web)).rejects.toMatchObject({ code: Code.UNAVAILABLE, reason: "DRAINING" });
    expect(ended).toEqual([]);
    gate.resolve();
    await finishes;
    await down;
  });

  it("is cut off as UNAVAILABLE when the grace is over", async () => {
    const { node, ended, computing } = await start();
    const outcome = expect(embed(node.clients.native)).rejects.toMatchObject({
      code: Code.UNAVAILABLE,
      reason: "DRAINING",
    });
    await eventually(() => computing.count === 1);
    await node.node.shutDown(0);
    await outcome;
    expect(ended).toHaveLength(1);
  });

  it("refuses more vectors than a message holds, and more dimensions than there are", async () => {
    const { node, computing } = await start();
    // 384 numbers of four bytes: 2,048 of them are 3 MB.
    await expect(embed(node.clients.web, { dimensions: 385 })).rejects.toMatchObject({
      code: Code.INVALID_ARGUMENT,
      metadata: { param: "dimensions" },
    });
    await expect(embed(node.clients.web, { inputs: inputs(2_049) })).rejects.toMatchObject({
      code: Code.INVALID_ARGUMENT,
      metadata: { param: "inputs" },
    });
    expect(computing.count).toBe(0);
  });
});
