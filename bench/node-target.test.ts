// The node's native door as a target, against a real node with the scripted runtime.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestNode, type TestNode, testSecret } from "../inference-node/testing/test-node.ts";
import { NodeTarget, type NodeTargetOptions } from "./node-target.ts";
import { RoundRecord } from "./target.ts";

const never = new AbortController().signal;
const sampling = { maxTokens: 100, temperature: 0, ignoreEos: false };
let node: TestNode;
const targets: NodeTarget[] = [];

beforeEach(async () => {
  node = await startTestNode({ sequences: 64 });
});

afterEach(async () => {
  for (const target of targets.splice(0)) await target.close();
  await node.close();
});

function targetOf(options: Partial<NodeTargetOptions> = {}): NodeTarget {
  const target = new NodeTarget({
    baseUrl: `http://${node.node.grpcAddress}`,
    key: testSecret,
    keyFlag: "--key",
    model: undefined,
    timeoutMs: 10_000,
    ...options,
  });
  targets.push(target);
  return target;
}

async function opened(): Promise<NodeTarget> {
  const target = targetOf();
  await target.open(never);
  return target;
}

describe("NodeTarget", () => {
  it("asks the first model for chats", async () => {
    expect((await opened()).model).toBe("scripted");
  });

  it("times each piece of the text and believes the node's counts", async () => {
    const target = await opened();
    const record = new RoundRecord();
    const script = JSON.stringify({ chunks: 3, delay_ms: 30, usage: { prompt_tokens: 40, cached_tokens: 30 } });
    const messages = [{ role: "user", content: script }] as const;
    expect(await target.answer(messages, sampling, record, never)).toBe("1 2 3");
    expect(record).toMatchObject({ requests: 1, errorCount: 0, chunks: 3, promptTokens: 40, cachedTokens: 30 });
    expect(record.countedByChunks).toBe(0);
    expect(record.itl.percentile(0.5)).toBeGreaterThan(25);
  });

  it("takes reasoning for text that is timed but not content", async () => {
    const target = await opened();
    const record = new RoundRecord();
    const script = JSON.stringify({ reasoning: "hm hm", text: "yes", chunks: 2 });
    expect(await target.answer([{ role: "user", content: script }], sampling, record, never)).toBe("yes");
    expect(record.chunks).toBe(4);
  });

  it("goes on with a chat", async () => {
    const target = await opened();
    const messages = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "the last one" },
    ] as const;
    expect(await target.answer(messages, sampling, new RoundRecord(), never)).toBe("the last one");
  });

  it("runs many streams at once", async () => {
    const target = await opened();
    const script = JSON.stringify({ chunks: 3, delay_ms: 20 });
    const record = await target.round({ streams: Array.from({ length: 40 }, () => [script]), sampling }, never);
    expect(record).toMatchObject({ requests: 40, errorCount: 0 });
    expect(record.allFirstTokensMs).toBeGreaterThan(0);
  });

  it("counts a failure with the node's sentence", async () => {
    const target = await opened();
    const record = new RoundRecord();
    const script = JSON.stringify({ fail: "overloaded" });
    expect(await target.request(script, sampling, record, never)).toBe(false);
    expect([...record.errors.keys()]).toEqual([expect.stringMatching(/^\[resource_exhausted\] /)]);
  });

  it("hangs up when the signal fires", async () => {
    const target = await opened();
    const controller = new AbortController();
    const script = JSON.stringify({ chunks: 1000, delay_ms: 20 });
    const stop = (): void => controller.abort(new Error("enough"));
    const chat = target.chat([{ role: "user", content: script }], sampling, stop, controller.signal);
    await expect(chat).rejects.toThrow("enough");
    await expect.poll(() => node.metric("sluice_num_requests_running"), { timeout: 10_000 }).toBe(0);
  });
});

describe("a node that can't be measured says why in one sentence", () => {
  it("the secret is wrong or missing", async () => {
    await expect(targetOf({ key: "wrong" }).open(never)).rejects.toThrow("refuses the secret; pass it with --key");
    await expect(targetOf({ key: undefined }).open(never)).rejects.toThrow("wants its secret");
  });

  it("the model is unknown", async () => {
    await expect(targetOf({ model: "other" }).open(never)).rejects.toThrow(
      'has no model "other" for chats; it has: scripted',
    );
  });

  it("nobody listens", async () => {
    await expect(targetOf({ baseUrl: "http://127.0.0.1:1" }).open(never)).rejects.toThrow("can't be reached");
  });
});
