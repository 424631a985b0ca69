// A soak's verdict breaks for each thing that must hold, and for nothing else.
import { expect, test } from "vitest";
import type { MemoryRow } from "./memory-log.ts";
import { allHeld, type Findings, verdictOf } from "./verdict.ts";

const row = (role: MemoryRow["role"], growthPercent: number, livedS = 600): MemoryRow => ({
  pid: 1,
  name: role,
  role,
  livedS,
  startBytes: 100e6,
  endBytes: 100e6 * (1 + growthPercent / 100),
  peakBytes: 110e6,
  growthPercent,
});

const well: Findings = {
  seed: 1,
  requests: 10,
  answered: 5,
  failed: 0,
  failures: [],
  idleFault: undefined,
  slotFault: undefined,
  accountFaults: [],
  killerFault: undefined,
  deathFaults: [],
  memory: [row("node", 1), row("workerd", 4.9), row("engine", 40, 30), row("engine", 2, 150), row("other", 300)],
  trafficS: 600,
  growthMaxPercent: 5,
  documents: { wanted: 100, whole: 98, cut: 2 },
  leftovers: [],
};

const broken = (changes: Partial<Findings>): string[] =>
  verdictOf({ ...well, ...changes })
    .filter(({ held }) => held === false)
    .map(({ name, sentence }) => `${name}: ${sentence}`);

const failure = (reason: string) => ({
  kind: "json_schema",
  requestId: "r",
  reason,
  sentAtMs: 0,
  endedAtMs: 1,
  status: 200,
});

test("all holds when nothing was found, and every guarantee is judged", () => {
  const verdict = verdictOf(well);
  expect(verdict.filter(({ held }) => held !== true)).toEqual([]);
  expect(allHeld(verdict)).toBe(true);
});

test.each<[string, Partial<Findings>]>([
  [
    "every client got an end: 1 of 10 did not. The first, r (json_schema): cut.",
    { failed: 1, failures: [failure("cut")] },
  ],
  ["every client got an end: None of 10", { answered: 0 }],
  ["no permit leaked: Two ran.", { idleFault: "Two ran." }],
  ["no slot leaked: One spoke.", { slotFault: "One spoke." }],
  ["the node's account agrees: A. B. C. D. E. And 1 more.", { accountFaults: ["A.", "B.", "C.", "D.", "E.", "F."] }],
  ["the engine comes back: It did not.", { killerFault: "It did not." }],
  ["nothing dies by itself: It died.", { deathFaults: ["It died."] }],
  ["documents fit their schemas: 90 documents", { documents: { wanted: 100, whole: 90, cut: 2 } }],
  ["documents fit their schemas: 40 documents", { documents: { wanted: 100, whole: 40, cut: 60 } }],
  ["memory of the node is flat: 100.0 MB to 105.0 MB (5.0 %)", { memory: [row("node", 5), row("workerd", 1)] }],
  ["memory of workerd is flat: There were 2", { memory: [row("node", 1), row("workerd", 1), row("workerd", 1)] }],
  ["memory of workerd is flat: There were 1", { memory: [row("node", 1), row("workerd", Number.NaN)] }],
  ["memory of the engine is flat: 100.0 MB to 106.0 MB", { memory: [...well.memory, row("engine", 6, 130)] }],
  ["nothing is left over: A file.", { leftovers: ["A file."] }],
])("%s", (sentence, changes) => {
  const [found, ...more] = broken(changes);
  expect(found).toContain(sentence);
  expect(more).toEqual([]);
});

test("a document that does not fit breaks its own guarantee, too", () => {
  const failures = [failure("the answer breaks its schema (.a is too long)")];
  expect(broken({ failed: 1, failures })).toHaveLength(2);
});

test("a few documents may be cut, all of them", () => {
  expect(broken({ documents: { wanted: 0, whole: 0, cut: 3 } })).toEqual([]);
});

test("what a short run can't tell is neither held nor broken", () => {
  const short = verdictOf({
    ...well,
    trafficS: 30,
    memory: [row("node", 50)],
    documents: { wanted: 0, whole: 0, cut: 0 },
  });
  expect(short.filter(({ held }) => held === undefined).map(({ name }) => name)).toEqual([
    "documents fit their schemas",
    "memory of the node is flat",
    "memory of workerd is flat",
    "memory of the engine is flat",
  ]);
  expect(allHeld(short)).toBe(true);
});
