// The journal tells the truth about running and ended generations, within its bound.
import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FinishReason, UsageSchema } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Journal, journalEntriesMax, type RunningGeneration } from "./journal.ts";
import { Code } from "./node-error.ts";

function generation(requestId: string): RunningGeneration {
  return {
    requestId,
    tenant: "t",
    model: "m",
    startedAt: 1_000,
    promptTokens: 3,
    cachedTokens: 1,
    completionTokens: 2,
    abort: () => undefined,
  };
}

const finished = {
  reason: FinishReason.STOP,
  usage: create(UsageSchema, { completionTokens: 9 }),
  code: 0,
  endedAt: 2_500,
};
const failed = { reason: FinishReason.UNSPECIFIED, usage: undefined, code: Code.CANCELLED, endedAt: 2_500 };

it("counts a running generation so far, and an ended one by its usage", () => {
  const journal = new Journal();
  const one = generation("a");
  journal.open(one);
  one.completionTokens = 5;
  expect(journal.entries(["a"])).toMatchObject([{ running: true, usage: { promptTokens: 3, completionTokens: 5 } }]);
  expect(journal.entries(["a"])[0]?.endedAt).toBeUndefined();
  journal.close(one, finished);
  expect(journal.entries(["a"])).toMatchObject([
    {
      running: false,
      usage: { completionTokens: 9 },
      reason: FinishReason.STOP,
      startedAt: { seconds: 1n },
      endedAt: { seconds: 2n },
    },
  ]);
  expect(journal.runningCount).toBe(0);
});

it("keeps what a failed generation had cost", () => {
  const journal = new Journal();
  const one = generation("a");
  journal.open(one);
  journal.close(one, failed);
  expect(journal.entries(["a"])).toMatchObject([
    { statusCode: Code.CANCELLED, usage: { completionTokens: 2, cachedTokens: 1 } },
  ]);
});

it("refuses an id that runs, and takes it again when it has ended", () => {
  const journal = new Journal();
  const one = generation("a");
  journal.open(one);
  expect(() => journal.open(generation("a"))).toThrow(expect.objectContaining({ param: "request_id" }));
  journal.close(one, failed);
  const again = generation("a");
  journal.open(again);
  journal.close(again, finished);
  expect(journal.entries(["a"])).toMatchObject([{ statusCode: 0 }]);
});

it("forgets the oldest beyond its bound, and leaves unknown ids out", () => {
  const journal = new Journal();
  for (let index = 0; index <= journalEntriesMax; index += 1) {
    const one = generation(`r${index}`);
    journal.open(one);
    journal.close(one, finished);
  }
  expect(journal.entries(["r0", "r1", "unknown"]).map(({ requestId }) => requestId)).toEqual(["r1"]);
});
