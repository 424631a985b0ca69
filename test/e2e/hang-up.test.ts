// A client that goes away frees its slot, wherever its request is; one slot makes every leak a dead end.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { chat, contentOf, eventsOf, scripted, untilDeltas, untilSlots } from "../support/chat.ts";
import type { Exchange } from "../support/exchange.ts";
import { type LogEvent, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted", env: { SLUICE_SEQUENCES: "1" } });
});

afterEach(async () => {
  await untilSlots(stack, 0, 0);
  const askedAt = performance.now();
  const { status } = await chat(stack, { messages: scripted({ text: "next" }) }).answer;
  expect(status).toBe(200);
  expect(performance.now() - askedAt).toBeLessThan(1_000);
});

afterAll(() => stack?.stop());

const ENDLESS = { chunks: 100_000, delay_ms: 50 };

/** Tears the connection and waits for the node's word on that request; gives it and how long it took in milliseconds. */
async function hangUp(request: Exchange, timeoutMs = 4_000): Promise<{ end: LogEvent; tookMs: number }> {
  const before = stack.nodeEvents("generate.end").length;
  const tornAt = performance.now();
  request.hangUp();
  const end = await until("the node's end of a request", () => stack.nodeEvents("generate.end")[before], timeoutMs);
  return { end, tookMs: performance.now() - tornAt };
}

describe("the client of a stream that hangs up", () => {
  test("between two deltas ends it on the node within a second of deltas, and is logged as 499", async () => {
    const stream = chat(stack, { messages: scripted(ENDLESS), stream: true });
    await untilDeltas(stream, 3);
    const { end, tookMs } = await hangUp(stream);
    expect(end).toMatchObject({ code: "CANCELLED", completion_tokens: expect.toSatisfy((n: number) => n < 100) });
    expect(tookMs).toBeLessThan(2_000);
    const line = await until("the edge's log line", () => {
      return stack.edgeEvents("request").find(({ request_id: id }) => id === end.request_id);
    });
    expect(line).toMatchObject({ status: 499, error: "canceled" });
  });

  test("before the first delta ends it while the prompt is still being read", async () => {
    const stream = chat(stack, { messages: scripted({ text: "a", prefill_ms: 60_000 }), stream: true });
    await stream.head;
    await untilSlots(stack, 1, 0);
    const { end } = await hangUp(stream);
    expect(end).toMatchObject({ code: "CANCELLED", completion_tokens: 0 });
  });

  test("while it waits in the queue takes it out, and leaves alone what runs", async () => {
    const running = chat(stack, { messages: scripted({ chunks: 40, delay_ms: 100 }), stream: true });
    await untilDeltas(running, 1);
    const queued = chat(stack, { messages: scripted({ text: "never" }), stream: true });
    await queued.head;
    await untilSlots(stack, 1, 1);
    const { end } = await hangUp(queued);
    expect(end).toMatchObject({ code: "CANCELLED", completion_tokens: 0 });
    await untilSlots(stack, 1, 0);
    expect((await running.answer).text).toContain("data: [DONE]");
  });

  test("in the queue leaves the others' order as it was", async () => {
    const running = chat(stack, { messages: scripted(ENDLESS), stream: true });
    await untilDeltas(running, 1);
    const queued: Exchange[] = [];
    const ids: unknown[] = [];
    for (const name of ["a", "b", "c", "d"]) {
      const waiting = chat(stack, { messages: scripted({ text: name }), stream: true });
      ids.push((await waiting.head).headers["x-request-id"]);
      queued.push(waiting);
    }
    await hangUp(queued[1] as Exchange);
    await untilSlots(stack, 1, 3);
    await hangUp(running);
    // By the node's log: over sockets of their own two answers may arrive the other way round.
    const ended = (): unknown[] => {
      const ends = stack.nodeEvents("generate.end").filter(({ code }) => code === "OK");
      return ends.map(({ request_id: id }) => id).filter((id) => ids.includes(id));
    };
    await until("the rest of the queue", () => ended().length === 3);
    expect(ended()).toEqual([ids[0], ids[2], ids[3]]);
  });
});

describe("the client of a whole answer that hangs up", () => {
  test("while tokens are made ends it on the node", async () => {
    const answer = chat(stack, { messages: scripted(ENDLESS) }, { headers: { "accept-encoding": "gzip, br" } });
    await answer.head;
    const { end } = await hangUp(answer);
    expect(end).toMatchObject({ code: "CANCELLED", completion_tokens: expect.toSatisfy((n: number) => n < 200) });
  });

  test("before its head is out ends it soon after the prompt was read", async () => {
    const answer = chat(stack, { messages: scripted({ ...ENDLESS, prefill_ms: 500 }) });
    await untilSlots(stack, 1, 0);
    const { end } = await hangUp(answer, 6_000);
    expect(end.code).toBe("CANCELLED");
  });
});

test("twenty clients that hang up at once free everything", async () => {
  const before = stack.nodeEvents("generate.end").length;
  const streams = Array.from({ length: 20 }, () => chat(stack, { messages: scripted(ENDLESS), stream: true }));
  await Promise.all(streams.map(({ head }) => head));
  await untilSlots(stack, 1, 19);
  for (const stream of streams) stream.hangUp();
  const ends = await until("twenty ends", () => {
    const now = stack.nodeEvents("generate.end").slice(before);
    return now.length === 20 && now;
  });
  expect(new Set(ends.map(({ code }) => code))).toEqual(new Set(["CANCELLED"]));
});

test("a client that stops reading for a while loses neither its slot nor a word", async () => {
  const readAfter = sleep(1_500);
  const script = { text: "word ".repeat(4_000), chunks: 4_000 };
  const stream = chat(stack, { messages: scripted(script), stream: true, max_tokens: 10_000 }, { readAfter });
  await readAfter;
  const { text } = await stream.answer;
  expect(contentOf(text)).toBe(script.text);
  expect(eventsOf(text).at(-1)).toBe("[DONE]");
});
