// The native engine is killed in mid-stream: its streams end retryably, and a new request is answered within seconds.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chat, eventsOf, untilDeltas, untilSlots } from "../support/chat.ts";
import { fetchRaw } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

/** What is promised is 3 s; a machine that does other things besides gets twice that. */
const ANSWER_WITHIN_MS = 6_000;

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama" });
});

afterAll(() => stack?.stop());

const ask = (content: string) => [{ role: "user", content }];

/** Asks until told to stop; gives every status that was seen, in order, without repetitions. */
async function watchReady(stopped: () => boolean): Promise<number[]> {
  const seen: number[] = [];
  while (!stopped()) {
    const { status } = await fetchRaw(`${stack.url}/readyz`);
    if (seen.at(-1) !== status) seen.push(status);
    await sleep(20);
  }
  return seen;
}

test("kill -9: the stream ends in an error event, /readyz says 503 and 200 again, a new request is answered", async () => {
  const victim = stack.pids.runtime;
  if (victim === null) throw new Error("there is no engine to kill");
  const stream = chat(stack, { messages: ask("Write a long story about the sea."), stream: true });
  await untilDeltas(stream, 3);
  let over = false;
  const watched = watchReady(() => over);

  process.kill(victim, "SIGKILL");
  const killedAt = performance.now();
  const next = await chat(stack, { messages: ask("Say hi."), max_tokens: 8 }).answer;
  const answeredMs = performance.now() - killedAt;

  const events = eventsOf((await stream.answer).text);
  expect(events.at(-1)).toEqual({
    error: { message: expect.any(String), type: "server_error", param: null, code: "overloaded" },
  });
  expect(events).not.toContain("[DONE]");

  console.log(`answered ${Math.round(answeredMs)} ms after the kill`);
  expect([next.status, JSON.parse(next.text).object]).toEqual([200, "chat.completion"]);
  expect(answeredMs).toBeLessThan(ANSWER_WITHIN_MS);

  over = true;
  expect(await watched).toEqual([200, 503, 200]);
  const names = stack.nodeEvents().map(({ event }) => event);
  const after = names.slice(names.indexOf("ready") + 1);
  expect(after).toEqual(expect.arrayContaining(["runtime.died", "not_serving", "runtime.started", "ready"]));
  await until("the new engine in dev.json", () => stack.pids.runtime !== null && stack.pids.runtime !== victim);
  expect(stack.pids.node).toEqual(expect.any(Number));
  await untilSlots(stack, 0, 0);
});

test("kill -9 with requests running, waiting and arriving: each ends once, as an answer or as a retryable error", async () => {
  const victim = stack.pids.runtime;
  const body = { messages: ask("Count from one to fifty."), max_tokens: 40 };
  const streams = Array.from({ length: 20 }, () => chat(stack, { ...body, stream: true }));
  const wholes = Array.from({ length: 4 }, () => chat(stack, body));
  await Promise.all(streams.map(({ head }) => head));
  await untilDeltas(streams[0] as (typeof streams)[0], 2);
  process.kill(victim ?? Number.NaN, "SIGKILL");
  const late = Array.from({ length: 4 }, () => chat(stack, { ...body, max_tokens: 4 }));

  for (const { status, text } of await Promise.all(streams.map(({ answer }) => answer))) {
    expect(status).toBe(200);
    const events = eventsOf(text);
    const last = events.at(-1);
    const failed = typeof last === "object" && last.error?.code === "overloaded";
    expect(failed !== (last === "[DONE]")).toBe(true);
    expect(events.filter((event) => event === "[DONE]" || event.error !== undefined)).toHaveLength(1);
  }
  for (const { status, text } of await Promise.all(wholes.map(({ answer }) => answer))) {
    const { error, choices } = JSON.parse(text);
    expect(error === undefined ? choices[0].message.content.length > 0 : error.code === "overloaded").toBe(true);
    expect([200, 503]).toContain(status);
  }
  for (const { status } of await Promise.all(late.map(({ answer }) => answer))) expect(status).toBe(200);
  await untilSlots(stack, 0, 0);
});
