// The node's own account is compared with the clients' to the request and the token.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { JournalEntrySchema } from "../../proto/gen/sluice/inference/v1/journal_pb.js";
import type { Entry } from "./ledger.ts";
import { journalFaults, metricFaults, totalsOf } from "./node-account.ts";

const entry = (end: Entry["end"]): Entry => ({
  requestId: "r",
  end,
  tokens: end === "answered" ? { prompt: 5, completion: 2 } : undefined,
});
const usage = { promptTokens: 5, completionTokens: 2 };

test.each<[Entry["end"], object | undefined]>([
  ["answered", { usage }],
  ["lost", { statusCode: 14 }],
  ["left", { statusCode: 1 }],
  ["left", { usage }],
  ["refused", undefined],
  ["turned_away", { statusCode: 8 }],
  ["left", undefined],
])("a client that was %s agrees with %j", (end, journal) => {
  const known = journal === undefined ? [] : [create(JournalEntrySchema, { requestId: "r", ...journal })];
  expect(journalFaults([entry(end)], known)).toEqual([]);
});

test.each<[Entry["end"], object | undefined, string]>([
  ["answered", undefined, "is not in the journal"],
  ["lost", undefined, "is not in the journal"],
  ["answered", { usage, running: true }, "still runs"],
  ["left", { running: true }, "still runs"],
  ["answered", { usage, statusCode: 14 }, "ended with status 14"],
  ["lost", { usage }, "ended well"],
  ["answered", { usage: { ...usage, completionTokens: 3 } }, "had 5 + 2 tokens, and 5 + 3 in the journal"],
  ["answered", {}, "had 5 + 2 tokens, and 0 + 0"],
])("a client that was %s does not agree with %j: %s", (end, journal, sentence) => {
  const known = journal === undefined ? [] : [create(JournalEntrySchema, { requestId: "r", ...journal })];
  const [fault, ...more] = journalFaults([entry(end)], known);
  expect(fault).toContain(sentence);
  expect(more).toEqual([]);
});

const exposition = (changes: Record<string, number> = {}): string => {
  const values = {
    requests_admitted_total: 10,
    'e2e_request_latency_seconds_count{model_name="m"}': 10,
    'request_success_total{finished_reason="stop"}': 4,
    'request_success_total{finished_reason="length"}': 2,
    requests_failed_total: 1,
    requests_cancelled_total: 3,
    num_requests_running: 0,
    'num_requests_waiting{priority="batch"}': 0,
    ...changes,
  };
  const lines = Object.entries(values).map(([name, value]) => `sluice_${name} ${value}`);
  return ["# TYPE sluice_requests_admitted_total counter", ...lines].join("\n");
};
const counts = { answered: 5, refused: 7, turned_away: 9, lost: 1, left: 4, failed: 0 };

test("metrics are added up over their labels, and agree when a client that left was answered after all", () => {
  expect(totalsOf(exposition()).get("sluice_request_success_total")).toBe(6);
  expect(metricFaults(totalsOf(exposition()), counts)).toEqual([]);
});

test.each<[string, Record<string, number>]>([
  ["11 requests were admitted, and 10 of them ended.", { requests_admitted_total: 11 }],
  ["2 requests still run.", { num_requests_running: 2 }],
  ["1 requests still wait.", { 'num_requests_waiting{priority="batch"}': 1 }],
  ["Requests that succeeded: 4, and by", { 'request_success_total{finished_reason="length"}': 0 }],
  ["Requests that succeeded: 12, and by", { 'request_success_total{finished_reason="length"}': 8 }],
  ["Requests that were cancelled: 5, and by", { requests_cancelled_total: 5 }],
  ["0 requests failed, and 1 clients were told so.", { requests_failed_total: 0 }],
])("%s", (sentence, changes) => {
  expect(metricFaults(totalsOf(exposition(changes)), counts).join(" ")).toContain(sentence);
});
