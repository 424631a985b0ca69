// A request that the engine dies of twice is refused with a 400 that says so; others, and the engine, go on.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chat, eventsOf, untilDeltas } from "../support/chat.ts";
import { fetchRaw } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama" });
});

afterAll(() => stack?.stop());

const deadly = { messages: [{ role: "user", content: "Write a long story about a storm." }], max_tokens: 300 };

/** Streams the request, ends the engine after some tokens, and waits for the next engine. */
async function dieOf(): Promise<void> {
  const victim = stack.pids.runtime;
  if (victim === null) throw new Error("there is no engine to kill");
  const stream = chat(stack, { ...deadly, stream: true });
  await untilDeltas(stream, 3);
  process.kill(victim, "SIGKILL");
  const events = eventsOf((await stream.answer).text);
  expect(events.at(-1)).toMatchObject({ error: { code: "overloaded" } });
  await until("the next engine", async () => {
    const { runtime } = stack.pids;
    return runtime !== null && runtime !== victim && (await fetchRaw(`${stack.url}/readyz`)).status === 200;
  });
}

test("after two deaths the same request is a 400, streamed or not; another is answered, and both deaths have a report", async () => {
  await dieOf();
  await dieOf();
  for (const stream of [true, false]) {
    const { status, text } = await chat(stack, { ...deadly, stream }).answer;
    expect(status).toBe(400);
    expect(JSON.parse(text).error).toMatchObject({
      type: "invalid_request_error",
      message: expect.stringMatching(/crashed twice while it ran this request/),
    });
  }
  const other = await chat(stack, { messages: [{ role: "user", content: "Say hi." }], max_tokens: 8 }).answer;
  expect(other.status).toBe(200);
  const reports = readdirSync(join(stack.stateDir, "logs", "crashes")).filter((name) => name.endsWith(".json"));
  expect(reports).toHaveLength(2);
  const metrics = await fetch(`${stack.nodeWeb}/metrics`, { headers: { authorization: `Bearer ${stack.nodeSecret}` } });
  expect(await metrics.text()).toMatch(/^sluice_requests_quarantined\{[^}]*\} 1$/m);
});
