// A node's life: it serves when its model does, and goes down without cutting what it can finish.
import { afterEach, describe, expect, it, vi } from "vitest";
import { Code, NodeError } from "./node-error.ts";
import { healthOf } from "./testing/health.ts";
import { casesOf, type StreamResult, scripted, textOf } from "./testing/test-client.ts";
import { eventually, startTestNode, type TestNode, type TestNodeOptions } from "./testing/test-node.ts";

const open: TestNode[] = [];

async function start(options?: TestNodeOptions): Promise<TestNode> {
  const node = await startTestNode(options);
  open.push(node);
  return node;
}

afterEach(async () => {
  for (const node of open.splice(0)) await node.close();
});

const events = (node: TestNode): string[] => node.entries.map(({ event }) => event);

describe("readiness", () => {
  it("begins when the model is loaded: health, probe and refusals agree", async () => {
    const node = await start({ load: false });
    const { grpcAddress, webUrl } = node.node;
    expect(await healthOf(grpcAddress)).toBe("NOT_SERVING");
    expect((await fetch(`${webUrl}/readyz`)).status).toBe(503);
    expect((await fetch(`${webUrl}/healthz`)).status).toBe(200);
    for (const client of Object.values(node.clients)) {
      expect((await client.generate(scripted("Hi"))).failure).toMatchObject({ code: Code.UNAVAILABLE, retryMs: 1_000 });
    }
    await node.node.load();
    expect(await healthOf(grpcAddress)).toBe("SERVING");
    expect(await healthOf(grpcAddress, "sluice.inference.v1.InferenceService")).toBe("SERVING");
    expect((await fetch(`${webUrl}/readyz`)).status).toBe(200);
    expect(node.entries.at(-1)).toMatchObject({ event: "ready", models: ["scripted"] });
  });

  it("ends when the engine dies, whose streams fail retryably, and comes back with it", async () => {
    const node = await start();
    const stream = node.clients.native.generate(scripted({ text: "a b c d e f", delay_ms: 20 }));
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 1);
    await node.runtime.close();
    expect(await healthOf(node.node.grpcAddress)).toBe("NOT_SERVING");
    expect((await stream).failure).toMatchObject({ code: Code.UNAVAILABLE, retryMs: 1_000 });
    expect(events(node)).toContain("not_serving");
    await node.runtime.start();
    expect(await healthOf(node.node.grpcAddress)).toBe("SERVING");
    expect((await node.clients.native.generate(scripted("Hi"))).failure).toBeUndefined();
    expect(await node.metric("sluice_runtime_restarts_total")).toBe(1);
  });

  it("holds a new request while the engine restarts, health saying so", async () => {
    const node = await start({ restartHoldMs: 5_000 });
    await node.runtime.close();
    const held = node.clients.web.generate(scripted("I can wait"));
    await eventually(async () => (await healthOf(node.node.grpcAddress)) === "NOT_SERVING");
    await node.runtime.start();
    expect(textOf(await held)).toBe("I can wait");
  });

  it("holds a request too whose engine dies over its tokenisation", async () => {
    const node = await start({ restartHoldMs: 5_000 });
    const prepare = vi.spyOn(node.runtime, "prepare").mockImplementationOnce(async () => {
      await node.runtime.close();
      throw new NodeError(Code.UNAVAILABLE, "The engine died.");
    });
    const held = node.clients.web.generate(scripted("I can wait"));
    await eventually(async () => (await healthOf(node.node.grpcAddress)) === "NOT_SERVING");
    await node.runtime.start();
    expect(textOf(await held)).toBe("I can wait");
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it("gives up on a request whose engine dies over it again", async () => {
    const node = await start({ restartHoldMs: 5_000 });
    const down = new NodeError(Code.UNAVAILABLE, "The engine died.");
    const prepare = vi.spyOn(node.runtime, "prepare").mockRejectedValue(down);
    expect((await node.clients.native.generate(scripted("Hi"))).failure).toMatchObject({ code: Code.UNAVAILABLE });
    expect(prepare).toHaveBeenCalledTimes(2);
  });

  it("lets admitted requests wait for an engine that restarts", async () => {
    const node = await start({ sequences: 1 });
    const first = node.clients.native.generate(scripted({ prefill_ms: 1_500 }));
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 1);
    const queued = node.clients.native.generate(scripted({ text: "still here" }));
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 1);
    await node.runtime.close();
    expect((await first).failure?.code).toBe(Code.UNAVAILABLE);
    await node.runtime.start();
    expect(textOf(await queued)).toBe("still here");
  });
});

describe("shutting down", () => {
  it("refuses new work, finishes what runs, then closes", async () => {
    const node = await start();
    const { grpcAddress } = node.node;
    const running = (["native", "web"] as const).map((door) =>
      node.clients[door].generate(scripted({ text: "a b c d e f", delay_ms: 40 })),
    );
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 2);
    const down = node.node.shutDown(5_000);
    expect(await healthOf(grpcAddress)).toBe("NOT_SERVING");
    const refused = await node.clients.web.generate(scripted("Hi"));
    expect(refused.failure).toMatchObject({ code: Code.UNAVAILABLE, reason: "DRAINING", retryMs: 1_000 });
    for (const result of await Promise.all(running)) expect(textOf(result)).toBe("a b c d e f");
    await down;
    await expect(healthOf(grpcAddress)).rejects.toMatchObject({ code: Code.UNAVAILABLE });
  });

  it("aborts what is left after the grace as UNAVAILABLE with its details, queued requests too", async () => {
    const node = await start({ sequences: 1 });
    const asked: Promise<StreamResult>[] = [];
    for (const client of [node.clients.native, node.clients.web]) {
      asked.push(client.generate(scripted({ text: "x", prefill_ms: 60_000 })));
    }
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 1);
    const before = performance.now();
    await node.node.shutDown(50);
    expect(performance.now() - before).toBeLessThan(1_500);
    for (const result of await Promise.all(asked)) {
      expect(casesOf(result)).toEqual(["admitted"]);
      expect(result.failure).toMatchObject({ code: Code.UNAVAILABLE, reason: "DRAINING", retryMs: 1_000 });
    }
  });

  it("is quick when nothing runs", async () => {
    const node = await start();
    const before = performance.now();
    await node.node.shutDown(30_000);
    expect(performance.now() - before).toBeLessThan(1_500);
  });
});

it("writes metrics under vLLM's names with the prefix sluice_", async () => {
  const node = await start();
  await node.clients.web.generate(scripted({ text: "Hello" }));
  await node.clients.web.generate(scripted({ fail: "internal" }));
  const text = await node.metrics();
  expect(text).toContain('sluice_num_requests_running{model_name="scripted"} 0');
  expect(text).toContain('sluice_num_requests_waiting{model_name="scripted",priority="interactive"} 0');
  expect(text).toContain('sluice_num_requests_waiting{model_name="scripted",priority="batch"} 0');
  expect(text).toContain('sluice_generation_tokens_total{model_name="scripted"} 2');
  expect(text).toContain('sluice_request_success_total{model_name="scripted",finished_reason="stop"} 1');
  expect(text).toContain('sluice_requests_refused_total{model_name="scripted",code="INTERNAL"} 1');
  expect(text).toContain('sluice_time_to_first_token_seconds_count{model_name="scripted"} 1');
});

it("keeps a door shut when the other can't be opened", async () => {
  const node = await start();
  const webPort = Number(new URL(node.node.webUrl).port);
  await expect(startTestNode({ webPort })).rejects.toThrow(/EADDRINUSE/);
  const grpcPort = Number(node.node.grpcAddress.split(":")[1]);
  await expect(startTestNode({ grpcPort })).rejects.toThrow(/EADDRINUSE/);
});
