// A soak's ledger counts every end once, and keeps what is compared with the node's account, within bounds.
import { expect, test } from "vitest";
import { Ledger } from "./ledger.ts";
import type { Observed, Outcome } from "./outcome.ts";
import type { RequestPlan } from "./traffic.ts";

const plan: RequestPlan = { kind: "short", body: {}, bad: false, readAfterMs: 0 };
const document: RequestPlan = { ...plan, kind: "json_schema", body: { response_format: { type: "json_schema" } } };

const seen = (requestId: string | undefined): Observed => ({
  sentAtMs: 1,
  endedAtMs: 2,
  status: 200,
  requestId,
  retryAfter: undefined,
  text: "",
  close: "whole",
});

const answered = (finish: "stop" | "length"): Outcome => ({
  end: "answered",
  answer: {
    choices: [{ text: "a", calls: [], tokens: [], finish }],
    usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } },
  },
});

test("counts by end and kind, tokens of answers, and documents by whether they were cut", () => {
  const ledger = new Ledger();
  ledger.add(plan, seen("a"), answered("length"));
  ledger.add(document, seen("b"), answered("stop"));
  ledger.add(document, seen("c"), answered("length"));
  ledger.add(plan, seen(undefined), { end: "left" });
  expect(ledger.counts).toEqual({ answered: 3, refused: 0, turned_away: 0, lost: 0, left: 1, failed: 0 });
  expect(ledger.requests).toBe(4);
  expect(ledger.byKind.get("json_schema")?.answered).toBe(2);
  expect(ledger.tokens).toEqual({ prompt: 15, cached: 9, completion: 6 });
  expect(ledger.documents).toEqual({ whole: 1, cut: 1 });
  expect(ledger.entries()).toEqual([
    { requestId: "a", end: "answered", tokens: { prompt: 5, completion: 2 } },
    { requestId: "b", end: "answered", tokens: { prompt: 5, completion: 2 } },
    { requestId: "c", end: "answered", tokens: { prompt: 5, completion: 2 } },
  ]);
});

test("two requests of one id are a failure of the second", () => {
  const ledger = new Ledger();
  ledger.add(plan, seen("a"), answered("stop"));
  ledger.add(plan, seen("a"), answered("stop"));
  expect(ledger.counts).toMatchObject({ answered: 1, failed: 1 });
  expect(ledger.failures).toMatchObject([{ requestId: "a", reason: "another request had the same id" }]);
});

test("failures and ids are kept within bounds, the newest ids and the first failures", () => {
  const ledger = new Ledger();
  for (let index = 0; index < 6_000; index += 1)
    ledger.add(plan, seen(`r${index}`), { end: "failed", reason: `${index}` });
  expect(ledger.counts.failed).toBe(6_000);
  expect(ledger.failures).toHaveLength(100);
  expect(ledger.failures[0]?.reason).toBe("0");
  expect(ledger.entries()).toHaveLength(5_000);
  expect(ledger.entries().at(-1)?.requestId).toBe("r5999");
});
