// On the real model: a client that goes away frees its slot within one step of the engine.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { chat, untilDeltas, untilSlots } from "../support/chat.ts";
import type { Exchange } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama", env: { SLUICE_SEQUENCES: "1" } });
});

afterEach(async () => {
  await untilSlots(stack, 0, 0);
  const askedAt = performance.now();
  const { status } = await chat(stack, { messages: ask("Say hi."), max_tokens: 2 }).answer;
  expect(status).toBe(200);
  expect(performance.now() - askedAt).toBeLessThan(3_000);
});

afterAll(() => stack?.stop());

const STORY = "Write a very long story about the sea.";
const ask = (content: string) => [{ role: "user", content }];

/** Tears the connection; expects that the request ends as cancelled and how many steps its slot was held after that. */
async function expectFreed(request: Exchange, timeoutMs = 6_000): Promise<void> {
  const before = stack.nodeEvents("generate.end").length;
  request.hangUp();
  const end = await until("the node's end of the request", () => stack.nodeEvents("generate.end")[before], timeoutMs);
  expect(end.code).toBe("CANCELLED");
  const released = stack.nodeEvents("slot.released").find(({ request_id: id }) => id === end.request_id);
  expect(released?.steps_after_cancel).toBeLessThanOrEqual(1);
}

test("in the middle of a stream", async () => {
  const stream = chat(stack, { messages: ask(STORY), stream: true });
  await untilDeltas(stream, 5);
  await expectFreed(stream);
});

test("while a long prompt is being read", async () => {
  const stream = chat(stack, { messages: ask("The sea is wide. ".repeat(1_400)), stream: true });
  await stream.head;
  await untilSlots(stack, 1, 0);
  const headAt = performance.now();
  await expectFreed(stream);
  // Reading all of it takes far longer here.
  expect(performance.now() - headAt).toBeLessThan(4_000);
  expect(stack.nodeEvents("generate.end").at(-1)).toMatchObject({ completion_tokens: 0 });
});

test("in the queue, while the request before it goes on", async () => {
  const running = chat(stack, { messages: ask(STORY), stream: true });
  await untilDeltas(running, 1);
  const queued = chat(stack, { messages: ask(STORY), stream: true });
  await queued.head;
  await untilSlots(stack, 1, 1);
  const before = stack.nodeEvents("generate.end").length;
  queued.hangUp();
  await untilSlots(stack, 1, 0);
  expect(stack.nodeEvents("generate.end")[before]).toMatchObject({ code: "CANCELLED", completion_tokens: 0 });
  await untilDeltas(running, 5);
  await expectFreed(running);
});

test("in the middle of a whole answer", async () => {
  const answer = chat(stack, { messages: ask(STORY) });
  await answer.head;
  await expectFreed(answer);
});
