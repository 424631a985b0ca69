// The step plan and its pacing: decodes first, nobody starves, budgets hold, for any state.
import { describe, expect, it } from "vitest";
import { PrefillPacer, planStep, type SchedulableSequence, type StepBudget } from "./scheduler.ts";

function prompt(slot: number, left: number, { of = left, arrival = slot } = {}): SchedulableSequence {
  return { slot, promptTokens: of, promptTokensLeft: left, arrival };
}

const decode = (slot: number): SchedulableSequence => prompt(slot, 0, { of: 10 });

const wide: StepBudget = { batchTokensMax: 512, shortTokensMax: 512, longTokensMax: 512 };

describe("planStep", () => {
  it("is empty without sequences", () => {
    expect(planStep([], wide)).toEqual([]);
  });

  it("sorts the batch by slot, decodes and chunks alike", () => {
    const plan = planStep([decode(9), prompt(4, 20), decode(2), prompt(0, 30)], wide);
    expect(plan.map(({ slot }) => slot)).toEqual([0, 2, 4, 9]);
  });

  it("gives every decode its token before any prompt gets one", () => {
    const budget = { ...wide, batchTokensMax: 3 };
    expect(planStep([prompt(0, 50), decode(1), decode(2), decode(3)], budget)).toEqual([
      { slot: 1, tokens: 1, sample: true },
      { slot: 2, tokens: 1, sample: true },
      { slot: 3, tokens: 1, sample: true },
    ]);
  });

  it("samples only with a prompt's last chunk", () => {
    expect(planStep([prompt(0, 40)], { ...wide, shortTokensMax: 16 })).toEqual([
      { slot: 0, tokens: 16, sample: false },
    ]);
    expect(planStep([prompt(0, 16, { of: 40 })], { ...wide, shortTokensMax: 16 })).toEqual([
      { slot: 0, tokens: 16, sample: true },
    ]);
  });

  it("serves prompts of a kind in order of arrival, whatever their slots", () => {
    const plan = planStep([prompt(0, 30, { arrival: 2 }), prompt(5, 30, { arrival: 1 })], {
      ...wide,
      shortTokensMax: 40,
    });
    expect(plan).toEqual([{ slot: 5, tokens: 30, sample: true }]);
  });

  it("lets a short prompt pass a long one that came first", () => {
    const plan = planStep([prompt(0, 4000), prompt(1, 100)], { ...wide, longTokensMax: 8 });
    expect(plan).toEqual([
      { slot: 0, tokens: 8, sample: false },
      { slot: 1, tokens: 100, sample: true },
    ]);
  });

  it("cuts a prompt after whole grains, beside decodes one token later", () => {
    const budget = { ...wide, longTokensMax: 150 };
    expect(planStep([prompt(0, 4000)], budget)).toEqual([{ slot: 0, tokens: 128, sample: false }]);
    expect(planStep([prompt(0, 4000), decode(1)], budget)[0]?.tokens).toBe(129);
    expect(planStep([prompt(0, 140, { of: 4000 })], budget)[0]?.tokens).toBe(140);
    expect(planStep([prompt(0, 4000)], { ...budget, longTokensMax: 63 })[0]?.tokens).toBe(63);
  });

  it("begins no prompt with less than a grain behind another one's chunk", () => {
    const budget = { ...wide, shortTokensMax: 150 };
    expect(planStep([prompt(0, 120), prompt(1, 120)], budget)).toEqual([{ slot: 0, tokens: 120, sample: true }]);
    expect(planStep([prompt(0, 120), prompt(1, 30)], budget).map(({ tokens }) => tokens)).toEqual([120, 30]);
    expect(planStep([prompt(0, 80), prompt(1, 120)], budget).map(({ tokens }) => tokens)).toEqual([80, 64]);
  });

  it("keeps a token for a long prompt when short ones could fill the batch", () => {
    const plan = planStep([prompt(0, 4000), prompt(1, 200), prompt(2, 200)], { ...wide, batchTokensMax: 64 });
    expect(plan.find(({ slot }) => slot === 0)?.tokens).toBe(1);
  });

  it("checks guesses beside the tokens that decode, and leaves half of the room to prompts", () => {
    const decoding = (slot: number, guessedTokens: number) => ({ ...prompt(slot, 0), guessedTokens });
    const alone = planStep([decoding(0, 3), decoding(1, 0)], { ...wide, batchTokensMax: 64 });
    expect(alone).toEqual([
      { slot: 0, tokens: 4, sample: true },
      { slot: 1, tokens: 1, sample: true },
    ]);
    const crowded = planStep([decoding(0, 30), decoding(1, 30), prompt(2, 100)], { ...wide, batchTokensMax: 22 });
    expect(crowded.map(({ tokens }) => tokens)).toEqual([11, 1, 10]);
  });

  it("holds every bound on 2,000 random states", () => {
    const random = mulberry32(7);
    const below = (n: number): number => Math.floor(random() * n);
    for (let round = 0; round < 2000; round++) {
      const slots = 1 + below(24);
      const budget = { batchTokensMax: slots + below(64), shortTokensMax: 1 + below(80), longTokensMax: 1 + below(40) };
      const sequences = Array.from({ length: slots }, (_, slot) => {
        const of = 1 + below(600);
        const guessedTokens = random() < 0.3 ? below(9) : undefined;
        return { ...prompt(slot, random() < 0.5 ? 0 : 1 + below(of), { of, arrival: below(1000) }), guessedTokens };
      }).sort(() => random() - 0.5);
      check(sequences, budget);
    }
  });
});

/** What must hold of any plan. */
function check(sequences: readonly SchedulableSequence[], budget: StepBudget): void {
  const plan = planStep(sequences, budget);
  const context = JSON.stringify({ sequences, budget, plan });
  const bySlot = new Map(sequences.map((sequence) => [sequence.slot, sequence]));
  expect(plan.length, context).toBeGreaterThan(0);
  expect(
    plan.reduce((sum, { tokens }) => sum + tokens, 0),
    context,
  ).toBeLessThanOrEqual(budget.batchTokensMax);
  for (const [i, item] of plan.entries()) {
    const sequence = bySlot.get(item.slot);
    if (sequence === undefined) throw new Error(`unknown slot in ${context}`);
    expect(i === 0 || item.slot > (plan[i - 1]?.slot ?? -1), context).toBe(true);
    expect(item.tokens, context).toBeGreaterThan(0);
    const most = sequence.promptTokensLeft === 0 ? 1 + (sequence.guessedTokens ?? 0) : sequence.promptTokensLeft;
    expect(item.tokens, context).toBeLessThanOrEqual(most);
    expect(item.sample, context).toBe(item.tokens >= sequence.promptTokensLeft);
  }
  const decoding = sequences.filter(({ promptTokensLeft }) => promptTokensLeft === 0);
  for (const { slot } of decoding)
    expect(
      plan.some((item) => item.slot === slot),
      context,
    ).toBe(true);
  const longIn = plan.filter(({ slot }) => {
    const sequence = bySlot.get(slot);
    return sequence !== undefined && sequence.promptTokensLeft > 0 && sequence.promptTokens > 256;
  });
  expect(
    longIn.reduce((sum, { tokens }) => sum + tokens, 0),
    context,
  ).toBeLessThanOrEqual(budget.longTokensMax);
}

/** A small seeded generator, so that a failing state comes again. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe("PrefillPacer", () => {
  const options = { stallFactor: 2, stepMsMax: 200, initialTokens: 32, tokensMax: 512 };

  it("starts with the initial chunk", () => {
    expect(new PrefillPacer(options).budget(3, 1)).toEqual({ shortTokensMax: 32, longTokensMax: 32 });
  });

  it("never takes less than a grain of a prompt alone, whatever its pace", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 640);
    expect(pacer.budget(0, 1)).toEqual({ shortTokensMax: 64, longTokensMax: 64 });
    const small = new PrefillPacer({ ...options, tokensMax: 16 });
    expect(small.budget(0, 1)).toEqual({ shortTokensMax: 16, longTokensMax: 16 });
  });

  it("gives prompts alone twice the time bound", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 160);
    expect(pacer.budget(0, 1)).toEqual({ shortTokensMax: 80, longTokensMax: 80 });
  });

  it("lets a long prompt lengthen a step by twice what its decodes take, a short one by the whole bound", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 160);
    pacer.observe(4, 0, 30);
    expect(pacer.budget(4, 1)).toEqual({ shortTokensMax: 40, longTokensMax: 12 });
  });

  it("learns what a small chunk beside decodes costs, which is more than its tokens alone do", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 160);
    pacer.observe(1, 0, 12);
    for (let i = 0; i < 20; i++) {
      const { longTokensMax } = pacer.budget(1, 1);
      pacer.observe(1, longTokensMax, 12 + 5 + 7 * longTokensMax);
    }
    // 24 ms are two thirds of a gap: 5 for having a chunk at all, and 7 a token.
    expect(pacer.budget(1, 1).longTokensMax).toBe(2);
    pacer.observe(1, 300, 300);
    expect(pacer.budget(1, 1).longTokensMax).toBe(2);
  });

  it("gives short prompts more time the more of them wait, up to three times the bound, and long ones none", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 160);
    pacer.observe(4, 0, 30);
    expect(pacer.budget(4, 2)).toEqual({ shortTokensMax: 80, longTokensMax: 12 });
    expect(pacer.budget(4, 60)).toEqual({ shortTokensMax: 120, longTokensMax: 12 });
  });

  it("never starves a prompt, however slow the machine", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 32_000);
    pacer.observe(1, 0, 10);
    expect(pacer.budget(1, 1)).toEqual({ shortTokensMax: 1, longTokensMax: 1 });
  });

  it("never exceeds the batch, however fast the machine", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 512, 1);
    expect(pacer.budget(0, 1).shortTokensMax).toBe(512);
  });

  it("learns a changed speed within a few steps", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 32, 160);
    for (let i = 0; i < 10; i++) pacer.observe(0, 32, 320);
    expect(pacer.budget(1, 1).shortTokensMax).toBeLessThan(22);
  });

  it("takes no speed from chunks too short to tell", () => {
    const pacer = new PrefillPacer(options);
    pacer.observe(0, 2, 1000);
    expect(pacer.budget(1, 1).shortTokensMax).toBe(32);
  });
});
