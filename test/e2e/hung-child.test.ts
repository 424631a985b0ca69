// The native engine hangs in mid-stream: the client is told, the node says so, and another engine answers.
import { afterAll, beforeAll, expect, test } from "vitest";
import { chat, eventsOf, untilDeltas, untilSlots } from "../support/chat.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "llama", env: { SLUICE_STEP_TIMEOUT_MS: "5000" } });
});

afterAll(() => stack?.stop());

const ask = (content: string) => [{ role: "user", content }];

test("kill -STOP: the stream ends in an error event, the node is not ready until it has another engine", async () => {
  const victim = stack.pids.runtime;
  if (victim === null) throw new Error("there is no engine to stop");
  const stream = chat(stack, { messages: ask("Write a long story about the sea."), stream: true });
  await untilDeltas(stream, 3);
  process.kill(victim, "SIGSTOP");

  const events = eventsOf((await stream.answer).text);
  expect(events.at(-1)).toEqual({
    error: { message: expect.any(String), type: "server_error", param: null, code: "overloaded" },
  });
  expect(events).not.toContain("[DONE]");
  const next = await chat(stack, { messages: ask("Say hi."), max_tokens: 8 }).answer;
  expect([next.status, JSON.parse(next.text).object]).toEqual([200, "chat.completion"]);

  expect(stack.nodeEvents("runtime.hung")).toMatchObject([{ pid: victim, message: expect.any(String) }]);
  const names = stack.nodeEvents().map(({ event }) => event);
  const after = names.slice(names.indexOf("runtime.hung"));
  const order = ["runtime.hung", "not_serving", "runtime.died", "runtime.started", "ready"];
  expect(after.filter((name) => order.includes(name))).toEqual(order);
  await untilSlots(stack, 0, 0);
});
