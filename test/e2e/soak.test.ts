// A short soak of the whole stack: mixed traffic with hang-ups while the engine is killed, then nothing is leaked or left over.
import { expect, test } from "vitest";
import type { SoakOptions } from "../soak/options.ts";
import { reportOf } from "../soak/report.ts";
import { soak } from "../soak/soak.ts";

const SEED = 20_251_125;

const OPTIONS: SoakOptions = {
  seed: SEED,
  durationMs: 25_000,
  streams: 6,
  killEveryMs: 6_000,
  // A hung engine has a test of its own, and takes its time.
  hangShare: 0,
  leaveShare: 0.4,
  documents: 0,
  // On a machine so slow that there is a window to judge, it is one of garbage collections.
  growthMaxPercent: 50,
  sequences: 4,
  requestTimeoutMs: 120_000,
};

test("25 seconds of mixed traffic with kills: every client gets an end, no slot and no permit leaks", async () => {
  const events: string[] = [];
  const result = await soak(OPTIONS, new AbortController().signal, {
    progress: () => undefined,
    event: (sentence) => events.push(sentence),
  });
  const report = `${events.join("\n")}\n${reportOf(result)}`;
  expect(
    result.verdict.filter(({ held }) => held === false),
    report,
  ).toEqual([]);
  expect(result.kills, report).toBeGreaterThan(0);
  expect(result.ledger.counts.left, report).toBeGreaterThan(0);
}, 400_000);
