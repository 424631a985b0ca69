// Several models in one node: each found by its id, each alive or dead for itself, some of them loaded later than the rest.
import { afterEach, describe, expect, it, vi } from "vitest";
import { Capability, type ListModelsResponse, ModelState } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { systemClock } from "./clock.ts";
import { JoinedRuntime } from "./joined-runtime.ts";
import type { LogEntry } from "./log.ts";
import { Code } from "./node-error.ts";
import { healthOf } from "./testing/health.ts";
import { manualClock } from "./testing/manual-clock.ts";
import { type NamedRuntime, namedRuntime } from "./testing/named-runtime.ts";
import { scripted, textOf } from "./testing/test-client.ts";
import { startTestNode, type TestNode, type TestNodeOptions } from "./testing/test-node.ts";

const open: TestNode[] = [];

afterEach(async () => {
  for (const node of open.splice(0)) await node.close();
});

const vectors = { capabilities: [Capability.EMBEDDINGS] };
const ask = (node: TestNode, model: string) => node.clients.native.generate(scripted("Hi", { model }));
const embed = (node: TestNode, model: string) =>
  node.clients.web.unary<object>("embed", {
    requestId: "e",
    model,
    inputs: [{ input: { case: "text", value: "dog" } }],
  });

function joined(required: NamedRuntime[], later: NamedRuntime[] = [], clock = systemClock) {
  const entries: LogEntry[] = [];
  const runtime = new JoinedRuntime({ required, later, clock, log: (entry) => entries.push(entry) });
  return { runtime, entries };
}

async function start(runtime: JoinedRuntime, options: TestNodeOptions = {}): Promise<TestNode> {
  const node = await startTestNode({ runtime, ...options });
  open.push(node);
  return node;
}

async function states(node: TestNode): Promise<string[]> {
  const { models } = await node.clients.web.unary<ListModelsResponse>("listModels", {});
  return models.map(({ id, state }) => `${id} ${ModelState[state]}`);
}

describe("models that are required", () => {
  it("are all served, the first one first, and asked by their ids", async () => {
    const node = await start(joined([namedRuntime("a"), namedRuntime("b")]).runtime);
    expect(await states(node)).toEqual(["a READY", "b READY"]);
    for (const model of ["a", "b"]) expect(textOf(await ask(node, model))).toContain("Hi");
    expect((await ask(node, "c")).failure).toMatchObject({ code: Code.NOT_FOUND, reason: "MODEL_NOT_FOUND" });
  });

  it("die alone: the others stay ready, and the node goes on to serve", async () => {
    const a = namedRuntime("a");
    const node = await start(joined([a, namedRuntime("b")]).runtime);
    await a.die();
    expect(await states(node)).toEqual(["a UNAVAILABLE", "b READY"]);
    expect(await healthOf(node.node.grpcAddress)).toBe("SERVING");
    expect((await ask(node, "a")).failure).toMatchObject({ code: Code.UNAVAILABLE, retryMs: 1_000 });
    expect((await ask(node, "b")).failure).toBeUndefined();
    await a.start();
    expect((await ask(node, "a")).failure).toBeUndefined();
  });

  it("fail the start when one can't be loaded, and later ones are then not begun", async () => {
    const later = namedRuntime("l", vectors);
    const bad = namedRuntime("b", { onStart: () => Promise.reject(new Error("The file is damaged.")) });
    const { runtime } = joined([namedRuntime("a"), bad], [later]);
    await expect(runtime.start()).rejects.toThrow("The file is damaged.");
    expect(later.starts).toBe(0);
  });
});

describe("a model that is loaded later", () => {
  it("does not hold up the start; who asks for it meanwhile waits, and is answered when it is there", async () => {
    const gate = Promise.withResolvers<void>();
    const later = namedRuntime("l", { ...vectors, onStart: () => gate.promise });
    const node = await start(joined([namedRuntime("a")], [later]).runtime, { restartHoldMs: 60_000 });
    expect(await states(node)).toEqual(["a READY", "l LOADING"]);
    const answer = embed(node, "l");
    expect((await ask(node, "a")).failure).toBeUndefined();
    gate.resolve();
    expect(await answer).toMatchObject({ embeddings: [{}] });
  });

  it("is refused retryably when it takes too long", async () => {
    const later = namedRuntime("l", { ...vectors, onStart: () => new Promise(() => undefined) });
    const node = await start(joined([namedRuntime("a")], [later]).runtime, { restartHoldMs: 20 });
    await expect(embed(node, "l")).rejects.toMatchObject({ code: Code.UNAVAILABLE, retryMs: 1_000 });
  });

  it("is tried again after a failure, which is said once; it is unavailable meanwhile", async () => {
    const clock = manualClock();
    const onStart = (attempt: number): void => {
      if (attempt < 4) throw new Error("The package index can't be reached.");
    };
    const later = namedRuntime("l", { ...vectors, onStart });
    const { runtime, entries } = joined([namedRuntime("a")], [later], clock);
    await runtime.start();
    await vi.waitFor(() => expect(runtime.models()[1]?.state).toBe(ModelState.UNAVAILABLE));
    for (const ms of [5_000, 30_000, 120_000]) await clock.advance(ms);
    await vi.waitFor(() => expect(runtime.models()[1]?.state).toBe(ModelState.READY));
    expect(later.starts).toBe(4);
    expect(entries).toEqual([
      {
        level: "warn",
        event: "model.unavailable",
        models: ["l"],
        message: "The package index can't be reached.",
      },
    ]);
    await runtime.close();
  });

  it("that only makes vectors does not make a node ready whose generating model is dead, but goes on to answer", async () => {
    const a = namedRuntime("a");
    const node = await start(joined([a], [namedRuntime("l", vectors)]).runtime);
    expect(await embed(node, "l")).toMatchObject({ embeddings: [{}] });
    await a.die();
    expect(await healthOf(node.node.grpcAddress)).toBe("NOT_SERVING");
    expect(await embed(node, "l")).toMatchObject({ embeddings: [{}] });
  });

  it("is tried no more once the node is closed", async () => {
    const clock = manualClock();
    const later = namedRuntime("l", { onStart: () => Promise.reject(new Error("no")) });
    const { runtime } = joined([namedRuntime("a")], [later], clock);
    await runtime.start();
    await vi.waitFor(() => expect(later.starts).toBe(1));
    await runtime.close();
    await clock.advance(10_000_000);
    expect(later.starts).toBe(1);
  });
});

describe("what a model can't do", () => {
  it("is refused by name: text of one that makes vectors, vectors and scores of one that makes text", async () => {
    const chat = namedRuntime("a", { capabilities: [Capability.CHAT] });
    const node = await start(joined([chat, namedRuntime("l", vectors)]).runtime);
    const refusal = { code: Code.UNIMPLEMENTED, reason: "UNSUPPORTED", metadata: { param: "model" } };
    expect((await ask(node, "l")).failure).toMatchObject(refusal);
    await expect(embed(node, "a")).rejects.toMatchObject(refusal);
    for (const client of Object.values(node.clients)) {
      const rerank = { requestId: "r", model: "a", query: "q", documents: ["d"] };
      await expect(client.unary("rerank", rerank)).rejects.toMatchObject(refusal);
      await expect(client.unary("rerank", { ...rerank, model: "l" })).rejects.toMatchObject(refusal);
      await expect(client.unary("rerank", { ...rerank, model: "x" })).rejects.toMatchObject({ code: Code.NOT_FOUND });
    }
  });
});
