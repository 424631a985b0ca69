// Estimates of a wait follow the order as it is: they are right within a slot's time under a steady load.
import { describe, expect, it } from "vitest";
import { ask, openAdmission } from "./testing/ask-admission.ts";
import { manualClock } from "./testing/manual-clock.ts";
import { type Job, seededRandom, simulate } from "./testing/slot-simulation.ts";

const holdMs = 100;

function job(tenant: string, arrivesAt: number, more: Partial<Job> = {}): Job {
  return { tenant, arrivesAt, promptTokens: 10, outputTokens: holdMs, ...more };
}

describe("the estimate", () => {
  it.each<[string, Job]>([
    ["behind its own queue", job("a", 505)],
    ["before a longer queue", job("new", 505)],
    ["between two queues", job("b", 505)],
    ["of several slots", job("a", 505, { sequences: 3 })],
    ["of batch work, behind everybody", job("a", 505, { priority: "batch" })],
    ["of a tenant's first batch work", job("new", 505, { priority: "batch" })],
  ])("is right within a slot's time %s", async (_, newcomer) => {
    const clock = manualClock();
    const one = openAdmission(clock, { slots: () => 4, batchSlotsPercent: 50, queueTokensMax: 1e6 });
    const random = seededRandom(3);
    // The first four end apart from each other, so that slots come free one by one.
    const load = [25, 50, 75, 100].map((outputTokens) => job("a", 0, { outputTokens }));
    for (let count = 0; count < 30; count += 1) load.push(job("a", 1));
    for (let count = 0; count < 8; count += 1) load.push(job("b", random(100)));
    for (let count = 0; count < 10; count += 1) load.push(job("night", 2, { priority: "batch" }));
    let estimateMs: number | undefined;
    const runs = await simulate(one, clock, [...load, newcomer], {
      eachMs: (now) => {
        if (now !== newcomer.arrivesAt) return;
        const { tenant, priority = "interactive" } = newcomer;
        estimateMs = one.estimateWaitMs({ tenant, priority }, newcomer.sequences);
      },
    });
    const startedAt = runs.find((run) => run.job === newcomer)?.startedAt ?? Number.NaN;
    const waitedMs = startedAt - newcomer.arrivesAt;
    expect(Math.abs((estimateMs ?? Number.NaN) - waitedMs)).toBeLessThanOrEqual(holdMs + waitedMs / 4);
  });

  it("knows that batch work has a part of the slots only", async () => {
    const clock = manualClock();
    const one = openAdmission(clock, { slots: () => 4, batchSlotsPercent: 50 });
    const load = Array.from({ length: 22 }, () => job("night", 0, { priority: "batch" }));
    const estimates: (number | undefined)[] = [];
    const eachMs = (): void => void estimates.push(one.estimateWaitMs({ tenant: "night", priority: "batch" }));
    await simulate(one, clock, load, { eachMs, stopAt: 200 });
    // Four have gone by then and two have just begun: sixteen more before the newcomer, two at a time.
    expect(Math.abs((estimates.at(-1) ?? 0) - 900)).toBeLessThanOrEqual(holdMs);
  });

  it("counts the slots that are free already", async () => {
    const clock = manualClock();
    const one = openAdmission(clock, { slots: () => 4 });
    ask(one);
    await clock.advance(1_000);
    expect(one.estimateWaitMs(undefined, 4)).toBe(1_000);
  });

  it("is nothing beside a free slot, and unknown while nothing is known", () => {
    const one = openAdmission(manualClock(), { isReady: () => true });
    expect(one.estimateWaitMs()).toBe(0);
    const waiting = openAdmission(manualClock(), { isReady: () => false });
    ask(waiting);
    expect(waiting.estimateWaitMs()).toBeUndefined();
  });

  it("grows with those that run when they run longer than any did before", async () => {
    const clock = manualClock();
    const one = openAdmission(clock);
    const short = ask(one);
    await clock.advance(100);
    short.release();
    ask(one);
    expect(one.estimateWaitMs()).toBe(100);
    await clock.advance(30_000);
    expect(one.estimateWaitMs()).toBe(30_000);
  });
});
