// What a long prompt does to a running stream is told apart from what the stream does alone.
import { describe, expect, it } from "vitest";
import { type FakeBehaviour, type FakeServer, sendJson } from "./fake-server.ts";
import { stallRound } from "./stall.ts";
import { stallFaults, stallLines, stallNotes, summarizeStall } from "./stall-report.ts";
import { startFakeTarget } from "./testing/fake-target.ts";

const never = new AbortController().signal;

const plan = {
  prompt: "short",
  longPrompt: "long ".repeat(50).trim(),
  sampling: { maxTokens: 10_000, temperature: 0, ignoreEos: false },
  quietTokens: 8,
};

/** Tokens come every 10 ms, while a long prompt is prefilled for 600 ms every 100 ms. */
const stalling: FakeBehaviour = {
  tokenMs: 10,
  stallFactor: 10,
  prefillMs: ({ messages }) => ((messages[0]?.content.length ?? 0) > 100 ? 600 : 0),
};

async function hungUpOn(server: FakeServer): Promise<void> {
  await expect.poll(() => server.running(), { timeout: 10_000 }).toBe(0);
}

describe("stallRound", () => {
  it("sorts the stream's gaps into those alone and those while the long prompt was prefilled", async () => {
    const { server, target } = await startFakeTarget(stalling);
    const round = await stallRound(target, plan, never);
    expect(round.quiet.count).toBe(8);
    expect(round.quiet.percentile(0.5)).toBeLessThan(90);
    // The first gap was open when the long prompt came, the last one when it was in.
    expect(round.during.count).toBeGreaterThanOrEqual(2);
    expect(round.during.percentile(0.99)).toBeGreaterThan(95);
    expect(round.longTtftMs).toBeGreaterThan(590);
    expect(round.longPromptTokens).toBe(55);
    expect(round.endedEarly).toBe(false);
    expect(server.requests.map(({ max_tokens }) => max_tokens)).toEqual([10_000, 1]);
    await hungUpOn(server);
  });

  it("says so when the stream ended before the long prompt was in", async () => {
    const { target } = await startFakeTarget(stalling);
    const sampling = { ...plan.sampling, maxTokens: 10 };
    const round = await stallRound(target, { ...plan, sampling }, never);
    expect(round.endedEarly).toBe(true);
    const summary = summarizeStall([{ seen: [round], errors: {} }]);
    expect(stallNotes(summary)).toContain("note: A: the stream ended before the long prompt was in, in 1 of 1 rounds");
  });

  it("rejects when the stream is over before the long prompt was sent", async () => {
    const { server, target } = await startFakeTarget(stalling);
    const sampling = { ...plan.sampling, maxTokens: 5 };
    await expect(stallRound(target, { ...plan, sampling }, never)).rejects.toThrow("ended after 5 pieces");
    expect(server.requests).toHaveLength(1);
  });

  it("hangs up on the stream when the long prompt is refused, and says why", async () => {
    const { server, target } = await startFakeTarget({
      tokenMs: 5,
      intercept: (response, ordinal) => {
        if (ordinal === 2) sendJson(response, 400, { error: { message: "Too long." } });
        return ordinal === 2;
      },
    });
    await expect(stallRound(target, plan, never)).rejects.toThrow("Too long.");
    await hungUpOn(server);
  });
});

describe("the report of stalls", () => {
  it("gives the ratio of the gaps meanwhile to the quiet ones, of p50 and p99, and holds p99 to the bound", async () => {
    const { target } = await startFakeTarget(stalling);
    const round = await stallRound(target, plan, never);
    const summary = summarizeStall([
      { seen: [round], errors: {} },
      { seen: [round], errors: { "HTTP 500: x": 2 } },
    ]);
    const [first] = summary.targets;
    const expected = round.during.percentile(0.99) / round.quiet.percentile(0.99);
    expect(first?.p99Ratio.median).toBeCloseTo(expected, 10);
    expect(summary.ratio?.median).toBe(1);
    expect(stallLines(summary)).toHaveLength(3);
    expect(stallNotes(summary)).toContain("note: B: 2 x HTTP 500: x");
    expect(stallFaults(summary, expected * 1.01)).toEqual([]);
    expect(stallFaults(summary, expected * 0.99)).toHaveLength(1);
    expect(stallFaults(summary, undefined)).toEqual([]);
  });
});
