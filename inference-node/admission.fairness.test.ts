// Slots are shared between tenants by tokens served, between classes by rank, and none lies idle that somebody may have.
import { expect, it } from "vitest";
import { openAdmission } from "./testing/ask-admission.ts";
import { manualClock } from "./testing/manual-clock.ts";
import { type Job, type Run, seededRandom, simulate } from "./testing/slot-simulation.ts";
import type { PriorityClass } from "./waiting-line.ts";

function admission(slots: number, batchSlotsPercent = 100) {
  const clock = manualClock();
  const bounds = { queueDepthMax: 10_000, queueTokensMax: 10_000_000 };
  return { clock, one: openAdmission(clock, { slots: () => slots, batchSlotsPercent, ...bounds }) };
}

function jobs(count: number, tenant: string, arrivesAt: number, more: Partial<Job> = {}): Job[] {
  return Array.from({ length: count }, () => ({ tenant, arrivesAt, promptTokens: 50, outputTokens: 20, ...more }));
}

const waitMs = ({ startedAt, job }: Run): number => (startedAt ?? Number.POSITIVE_INFINITY) - job.arrivesAt;
const running = (runs: readonly Run[], priority: PriorityClass): Run[] =>
  runs.filter(
    ({ startedAt, endedAt, job }) =>
      startedAt !== undefined && endedAt === undefined && (job.priority ?? "interactive") === priority,
  );
const waiting = (runs: readonly Run[], priority: PriorityClass): Run[] =>
  runs.filter(
    ({ startedAt, endedAt, job }) =>
      startedAt === undefined && endedAt === undefined && (job.priority ?? "interactive") === priority,
  );

it.each([1, 4])(
  "a tenant's one request waits for no more than the next free slot behind another's hundred (%i slots)",
  async (slots) => {
    const { one, clock } = admission(slots);
    const runs = await simulate(one, clock, [...jobs(100, "a", 0), ...jobs(1, "b", 205), ...jobs(1, "c", 310)]);
    for (const run of runs.filter(({ job }) => job.tenant !== "a")) expect(waitMs(run)).toBeLessThanOrEqual(20);
  },
);

it("two that always wait are served alike, however unlike their requests are", async () => {
  const slots = 3;
  const { one, clock } = admission(slots);
  const random = seededRandom(5);
  const chatty = Array.from({ length: 400 }, () => ({ promptTokens: 1 + random(20), outputTokens: 1 + random(10) }));
  const wordy = Array.from({ length: 60 }, () => ({ promptTokens: 100 + random(200), outputTokens: 20 + random(60) }));
  const all: Job[] = [
    ...chatty.map((size) => ({ tenant: "chatty", arrivesAt: 0, ...size })),
    ...wordy.map((size) => ({ tenant: "wordy", arrivesAt: 100, ...size })),
  ];
  const served = (runs: readonly Run[], tenant: string): number =>
    runs
      .filter(({ job, startedAt }) => job.tenant === tenant && startedAt !== undefined)
      .reduce((sum, { job, generated }) => sum + job.promptTokens + 2 * generated, 0);
  const differences: number[] = [];
  await simulate(one, clock, all, {
    stopAt: 1_500,
    eachMs: (now, runs) => {
      const busy = ["chatty", "wordy"].every((tenant) =>
        waiting(runs, "interactive").some(({ job }) => job.tenant === tenant),
      );
      if (now > 100 && busy) differences.push(served(runs, "wordy") - served(runs, "chatty"));
    },
  });
  // The longest prompt, and twice the tokens that one tenant can have under way.
  const bound = 300 + 2 * slots * 80;
  expect(differences.length).toBeGreaterThan(300);
  // Theorem 4.4: over any time in which both wait, what they get differs by at most twice the bound.
  expect(Math.max(...differences) - Math.min(...differences)).toBeLessThanOrEqual(2 * bound);
});

it("batch work starts only when no interactive work waits, and leaves room for a newcomer", async () => {
  const { one, clock } = admission(4, 75);
  const batch = jobs(40, "night", 0, { priority: "batch", outputTokens: 100 });
  const talk = Array.from({ length: 30 }, (_, index) => jobs(1 + (index % 3), "day", 50 + index * 37)).flat();
  const runs = await simulate(one, clock, [...batch, ...talk], {
    eachMs: (now, all) => {
      expect(running(all, "batch").length).toBeLessThanOrEqual(3);
      const late = running(all, "batch").filter(({ startedAt }) => startedAt === now);
      if (late.length > 0) expect(waiting(all, "interactive")).toEqual([]);
    },
  });
  for (const run of runs) expect(run.endedAt).toBeDefined();
  for (const run of runs.filter(({ job }) => job.tenant === "day")) expect(waitMs(run)).toBeLessThanOrEqual(60);
});

it("batch work has a slot even where its share is less than one, and may have all if told so", async () => {
  for (const [slots, percent, most] of [
    [1, 75, 1],
    [2, 75, 1],
    [8, 1, 1],
    [4, 100, 4],
    [16, 75, 12],
  ] as const) {
    const { one, clock } = admission(slots, percent);
    const seen: number[] = [];
    const eachMs = (_: number, runs: readonly Run[]): void => void seen.push(running(runs, "batch").length);
    await simulate(one, clock, jobs(20, "night", 0, { priority: "batch" }), { stopAt: 10, eachMs });
    expect(Math.max(...seen)).toBe(most);
  }
});

it("a request for several slots gets them all at once, though small ones keep coming", async () => {
  const { one, clock } = admission(4);
  const small = Array.from({ length: 300 }, (_, index) => jobs(1, `t${index % 5}`, index * 4)).flat();
  const big = jobs(1, "big", 100, { sequences: 4, outputTokens: 30 });
  const runs = await simulate(one, clock, [...small, ...big], {
    eachMs: (_, all) => {
      const held = running(all, "interactive").reduce((sum, { job }) => sum + (job.sequences ?? 1), 0);
      expect([held, one.slotsHeld]).toEqual([one.slotsHeld, held]);
      expect(held).toBeLessThanOrEqual(4);
    },
  });
  const [run] = runs.filter(({ job }) => job.tenant === "big");
  expect(run && waitMs(run)).toBeLessThanOrEqual(60);
});

it("a batch request for more slots than batch work may hold runs once no other batch work does", async () => {
  const { one, clock } = admission(4, 50);
  const all = [...jobs(6, "a", 0, { priority: "batch" }), ...jobs(1, "b", 5, { priority: "batch", sequences: 4 })];
  const runs = await simulate(one, clock, all);
  for (const run of runs) expect(run.endedAt).toBeDefined();
});

/** Random work of six tenants in both classes, of one to three sequences, a third of which hangs up at some moment. */
function chaos(seed: number): Job[] {
  const random = seededRandom(seed);
  return Array.from({ length: 400 }, () => {
    const arrivesAt = random(1_500);
    return {
      tenant: `t${random(6)}`,
      priority: random(3) === 0 ? "batch" : "interactive",
      arrivesAt,
      promptTokens: random(200),
      outputTokens: 1 + random(40),
      sequences: random(8) === 0 ? 1 + random(3) : 1,
      ...(random(3) === 0 ? { hangsUpAt: arrivesAt + 1 + random(200) } : {}),
    };
  });
}

it.each([1, 2, 3, 4, 5, 6])(
  "nobody is left waiting beside a free slot, and nothing is left behind (seed %i)",
  async (seed) => {
    const { one, clock } = admission(5, 60);
    const runs = await simulate(one, clock, chaos(seed), {
      eachMs: (_, all) => {
        const live = all.filter(({ endedAt }) => endedAt === undefined);
        const [talk, night] = [waiting(live, "interactive"), waiting(live, "batch")];
        const held = (priority: PriorityClass): number =>
          running(live, priority).reduce((sum, { job }) => sum + (job.sequences ?? 1), 0);
        const free = 5 - held("interactive") - held("batch");
        expect([one.waitingOf("interactive"), one.waitingOf("batch")]).toEqual([talk.length, night.length]);
        expect(one.slotsHeld).toBe(5 - free);
        expect(free).toBeGreaterThanOrEqual(0);
        const wanted = (some: Run[]): number => Math.max(...some.map(({ job }) => job.sequences ?? 1));
        if (talk.length > 0) expect(free).toBeLessThan(wanted(talk));
        else if (night.length > 0) expect(Math.min(free, 3 - held("batch"))).toBeLessThan(wanted(night));
      },
    });
    expect(runs.filter(({ endedAt }) => endedAt === undefined)).toEqual([]);
    expect([one.running, one.waiting, one.slotsHeld]).toEqual([0, 0, 0]);
    for (const { job, startedAt } of runs) if (job.hangsUpAt === undefined) expect(startedAt).toBeDefined();
  },
);

it("every request starts within a number of others that its tenant's own queue and the number of tenants bound", async () => {
  const slots = 3;
  const { one, clock } = admission(slots);
  const random = seededRandom(9);
  const all = Array.from({ length: 500 }, (): Job[] =>
    jobs(1, `t${random(10) < 7 ? 0 : random(5)}`, random(800)),
  ).flat();
  const runs = await simulate(one, clock, all);
  for (const run of runs) {
    const own = runs.filter(
      ({ job, startedAt = 0 }) =>
        job.tenant === run.job.tenant && job.arrivesAt <= run.job.arrivesAt && startedAt >= run.job.arrivesAt,
    ).length;
    const between = runs.filter(
      ({ startedAt = 0 }) => startedAt >= run.job.arrivesAt && startedAt < (run.startedAt ?? Number.POSITIVE_INFINITY),
    ).length;
    expect(between).toBeLessThanOrEqual((own + slots) * 5);
  }
});
