// One generation's queue: order, merging while the reader is busy, and a failure that waits for what came before it.
import { describe, expect, it } from "vitest";
import { Code, NodeError } from "../../node-error.ts";
import { EventQueue } from "./event-queue.ts";
import type { GenerationEvent, TokenScore } from "./protocol.ts";

const score: TokenScore = { id: 1, bytes: new Uint8Array(), logprob: -1, top: [] };

function delta(text: string, completionTokens: number, scores: TokenScore[] = []): GenerationEvent {
  return { type: "delta", key: 1, text, completionTokens, scores };
}

describe("EventQueue", () => {
  it("gives events in order to a reader that waits", async () => {
    const queue = new EventQueue();
    const first = queue.next();
    queue.push(delta("a", 1));
    expect(await first).toEqual(delta("a", 1));
    queue.push(delta("b", 2));
    expect(await queue.next()).toEqual(delta("b", 2));
  });

  it("merges text while the reader is busy, so that its length stays bounded", async () => {
    const queue = new EventQueue();
    for (let i = 1; i <= 10_000; i++) queue.push(delta("x", i));
    expect(await queue.next()).toEqual(delta("x".repeat(10_000), 10_000));
  });

  it("never merges what carries log-probabilities, nor across other events", async () => {
    const queue = new EventQueue();
    const prefilled: GenerationEvent = { type: "prefilled", key: 1, promptTokens: 3, cachedTokens: 0, scores: [] };
    for (const event of [prefilled, delta("a", 1, [score]), delta("b", 2), delta("c", 3, [score])]) queue.push(event);
    expect(await queue.next()).toEqual(prefilled);
    expect(await queue.next()).toEqual(delta("a", 1, [score]));
    expect(await queue.next()).toEqual(delta("b", 2));
    expect(await queue.next()).toEqual(delta("c", 3, [score]));
  });

  it("fails only after everything that came before was read, with the first failure", async () => {
    const queue = new EventQueue();
    const error = new NodeError(Code.UNAVAILABLE, "down");
    queue.push(delta("a", 1));
    queue.fail(error);
    queue.fail(new NodeError(Code.INTERNAL, "later"));
    expect(await queue.next()).toEqual(delta("a", 1));
    await expect(queue.next()).rejects.toBe(error);
  });

  it("wakes a waiting reader to fail", async () => {
    const queue = new EventQueue();
    const waiting = queue.next();
    const error = new NodeError(Code.UNAVAILABLE, "down");
    queue.fail(error);
    await expect(waiting).rejects.toBe(error);
  });
});
