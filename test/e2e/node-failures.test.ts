// Every status that a node can give, from the scripted runtime through the edge: what the client reads is the error table's.
import { afterAll, beforeAll, expect, test } from "vitest";
import { chat, eventsOf, scripted } from "../support/chat.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted" });
});

afterAll(() => stack?.stop());

type Row = [fail: string, status: number, type: string, code: string | null, retry: string];

/** The column "from the node" of the error table, and what follows from each row. */
const TABLE: Row[] = [
  ["INVALID_ARGUMENT", 400, "invalid_request_error", null, "false"],
  ["FAILED_PRECONDITION", 400, "invalid_request_error", null, "false"],
  ["OUT_OF_RANGE", 400, "invalid_request_error", "context_length_exceeded", "false"],
  ["UNIMPLEMENTED", 400, "invalid_request_error", "unsupported_parameter", "false"],
  ["NOT_FOUND", 404, "invalid_request_error", null, "false"],
  ["RESOURCE_EXHAUSTED", 503, "server_error", "overloaded", "true"],
  ["UNAVAILABLE", 503, "server_error", "overloaded", "true"],
  ["DEADLINE_EXCEEDED", 504, "server_error", "timeout", "true"],
  ["INTERNAL", 500, "server_error", null, "true"],
  ["UNKNOWN", 500, "server_error", null, "true"],
  ["DATA_LOSS", 500, "server_error", null, "true"],
  // That the node does not trust its edge is no fault of the client's key.
  ["UNAUTHENTICATED", 500, "server_error", null, "true"],
  ["PERMISSION_DENIED", 500, "server_error", null, "true"],
];
const CANCELED = ["CANCELLED", "ABORTED"];

test.each(TABLE)("a refusal with %s is HTTP %i", async (fail, status, type, code, retry) => {
  for (const stream of [false, true]) {
    const answer = await chat(stack, { messages: scripted({ fail }), stream }).answer;
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toEqual({ error: { message: expect.any(String), type, param: null, code } });
    expect(answer.headers["x-should-retry"]).toBe(retry);
    expect(answer.headers["retry-after"]).toBe(code === "overloaded" ? "1" : undefined);
  }
});

test.each(TABLE)("a stream that fails with %s after its first delta says so in one event", async (fail, ...row) => {
  const [, type, code] = row;
  const script = { text: "one two", chunks: 2, fail_after: 1, fail };
  const { status, text } = await chat(stack, { messages: scripted(script), stream: true }).answer;
  expect(status).toBe(200);
  const events = eventsOf(text);
  expect(events.at(-1)).toEqual({ error: { message: expect.any(String), type, param: null, code } });
  expect(events.filter((event) => event === "[DONE]" || event.error !== undefined)).toHaveLength(1);
});

test.each(CANCELED)("a refusal with %s counts as a hang-up: 499, and no retry", async (fail) => {
  for (const stream of [false, true]) {
    const { status, headers } = await chat(stack, { messages: scripted({ fail }), stream }).answer;
    expect([status, headers["x-should-retry"]]).toEqual([499, "false"]);
  }
});

test.each(CANCELED)("a stream that ends with %s just breaks off", async (fail) => {
  const script = { text: "one two three", chunks: 3, delay_ms: 300, fail_after: 2, fail };
  const stream = chat(stack, { messages: scripted(script), stream: true });
  await expect(stream.answer).rejects.toThrow();
  expect((await stream.head).status).toBe(200);
  expect(stream.text()).toContain('"content":"one');
  expect(stream.text()).not.toMatch(/\[DONE\]|"error"/);
});
