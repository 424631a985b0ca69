// A request has one of the promised ends, or it has failed and the soak says why.
import { expect, test } from "vitest";
import { type Observed, outcomeOf } from "./outcome.ts";
import type { RequestPlan } from "./traffic.ts";

const good: RequestPlan = { kind: "short", body: { stream: true }, bad: false, readAfterMs: 0 };
const unary: RequestPlan = { ...good, body: {} };
const bad: RequestPlan = { ...good, bad: true };

const seen = (text: string, more: Partial<Observed> = {}): Observed => ({
  sentAtMs: 0,
  endedAtMs: 120_000,
  status: 200,
  requestId: "req_1",
  retryAfter: undefined,
  text,
  close: "whole",
  ...more,
});

const error = (code: string | null) => ({ error: { message: "Sorry.", type: "server_error", param: null, code } });
const event = (value: unknown): string => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
const chunk = {
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta: { content: "a" }, logprobs: null, finish_reason: "stop" }],
};
const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2, prompt_tokens_details: { cached_tokens: 0 } };
const counted = { object: "chat.completion.chunk", choices: [], usage };
const whole = `: ping\n\n${event(chunk)}${event(counted)}${event("[DONE]")}`;
const lost = event(chunk) + event(error("overloaded"));
const refusal = (status: number, more: Partial<Observed> = {}) => seen(JSON.stringify(error("x")), { status, ...more });

test.each<[string, RequestPlan, Observed, boolean]>([
  ["answered", good, seen(whole), false],
  ["left", good, seen(whole.slice(0, 30), { close: "left" }), false],
  ["lost", good, seen(lost), true],
  ["lost", unary, seen(`   ${JSON.stringify(error("overloaded"))}`), true],
  ["refused", bad, refusal(400), false],
  ["refused", bad, refusal(404), false],
  ["turned_away", good, refusal(503, { retryAfter: "2" }), false],
  ["turned_away", bad, refusal(429, { retryAfter: "1" }), false],
])("%s (%#)", (end, plan, observed, outage) => {
  expect(outcomeOf(plan, observed, { outage }).end).toBe(end);
});

test.each<[string, RequestPlan, Observed, boolean]>([
  ["no end after 120000 ms", good, seen("", { close: "timeout" }), false],
  ["the connection broke (ECONNRESET)", good, seen(whole, { close: "broken", error: "ECONNRESET" }), true],
  ["0 ends", good, seen(event(chunk)), true],
  ["2 ends", good, seen(event(chunk) + event(counted) + event("[DONE]") + event("[DONE]")), false],
  ["2 ends", good, seen(event(error("overloaded")) + event("[DONE]")), true],
  ["1 ends, the last not", good, seen(event("[DONE]") + event(chunk)), false],
  ["ends within an event", good, seen(whole.slice(0, -1)), true],
  ["nobody had killed it", good, seen(lost), false],
  ["an error that no kill explains", good, seen(event(error(null))), true],
  ["not in OpenAI's shape", good, seen(event({ error: { message: "Sorry." } })), true],
  ["no usage", good, seen(event(chunk) + event("[DONE]")), false],
  ["not of its shape: object", unary, seen("{}"), false],
  ["JSON", unary, seen('{"object":'), true],
  ["status 400, server_error", good, refusal(400), false],
  ["status 500", good, refusal(500), true],
  ["status 500", bad, refusal(500), true],
  ["status 504", good, refusal(504), true],
  ["503 with Retry-After undefined", good, refusal(503), true],
  ["503 with Retry-After 0", good, refusal(503, { retryAfter: "0" }), true],
  ["503 with Retry-After 99999", good, refusal(503, { retryAfter: "99999" }), true],
  ["bad input was answered", bad, seen(whole), false],
  ["no x-request-id", good, seen(whole, { requestId: undefined }), false],
])("%s is a failure (%#)", (reason, plan, observed, outage) => {
  const outcome = outcomeOf(plan, observed, { outage });
  expect(outcome).toMatchObject({ end: "failed" });
  expect(outcome.end === "failed" && outcome.reason).toContain(reason);
});
