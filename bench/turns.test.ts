// Chats of several turns are held as people hold them, and each turn is timed by itself.
import { describe, expect, it } from "vitest";
import { type FakeBehaviour, sendJson } from "./fake-server.ts";
import { startFakeTarget } from "./testing/fake-target.ts";
import { holdChats } from "./turns.ts";
import { summarizeTurns, turnsFaults, turnsLines, turnsNotes } from "./turns-report.ts";

const never = new AbortController().signal;

function planOf(prompts: readonly string[], turns = 2) {
  const sampling = { maxTokens: 3, temperature: 0, ignoreEos: false };
  return { prompts, question: (stream: number, turn: number) => `q${stream}.${turn}`, turns, sampling, pauseMs: 0 };
}

/** Answers the first turn after `coldMs`, later ones after `warmMs`. */
function chatServer(coldMs: number, warmMs: number): FakeBehaviour {
  return {
    prefillMs: ({ messages }) => (messages.length === 1 ? coldMs : warmMs),
    cachedTokens: ({ messages }) => (messages.length === 1 ? 0 : 7),
  };
}

describe("holdChats", () => {
  it("sends the chat so far with the answer that came and the next question", async () => {
    const { server, target } = await startFakeTarget({});
    await holdChats(target, planOf(["hello"], 3), never);
    const said = server.requests.map(({ messages }) => messages.map(({ role, content }) => `${role}: ${content}`));
    expect(said).toEqual([
      ["user: hello"],
      ["user: hello", "assistant: é é é ", "user: q0.1"],
      ["user: hello", "assistant: é é é ", "user: q0.1", "assistant: é é é ", "user: q0.2"],
    ]);
  });

  it("begins a turn when all chats have had their answer of the one before", async () => {
    const { server, target } = await startFakeTarget({
      prefillMs: ({ messages }) => (messages[0]?.content === "slow" ? 80 : 1),
    });
    await holdChats(target, planOf(["slow", "quick", "quick"]), never);
    expect(server.requests.map(({ messages }) => messages.length)).toEqual([1, 1, 1, 3, 3, 3]);
    expect(server.concurrencyMax()).toBe(3);
  });

  it("times each turn by itself", async () => {
    const { target } = await startFakeTarget(chatServer(200, 1));
    const [cold, warm] = await holdChats(target, planOf(["hello"]), never);
    expect(cold?.ttft.count).toBe(1);
    expect(cold?.ttft.percentile(0.5)).toBeGreaterThan(190);
    expect(warm?.ttft.percentile(0.5)).toBeLessThan(150);
    expect(warm?.cachedTokens).toBe(7);
  });

  it("does not go on with a chat that failed, and goes on with the others", async () => {
    const { server, target } = await startFakeTarget({
      intercept: (response, ordinal) => {
        if (ordinal === 1) sendJson(response, 500, { error: { message: "No." } });
        return ordinal === 1;
      },
    });
    const [first, second] = await holdChats(target, planOf(["a", "b"]), never);
    expect([first?.requests, first?.errorCount]).toEqual([2, 1]);
    expect([second?.requests, second?.errorCount]).toEqual([1, 0]);
    expect(server.requests).toHaveLength(3);
  });
});

describe("the report of chats", () => {
  const rounds = async (behaviour: FakeBehaviour) => {
    const { target } = await startFakeTarget(behaviour);
    return [await holdChats(target, planOf(["a"]), never), await holdChats(target, planOf(["b"]), never)];
  };

  it("gives each target's later turns as a ratio of its first, and one target's as a ratio of the other's", async () => {
    const summary = summarizeTurns(1, [await rounds(chatServer(200, 20)), await rounds(chatServer(200, 200))]);
    const [[, remembers] = [], [, forgets] = []] = summary.targets;
    expect(remembers?.ofFirst.median).toBeLessThan(0.6);
    expect(forgets?.ofFirst.median).toBeGreaterThan(0.6);
    expect(summary.ratios).toHaveLength(2);
    expect(summary.ratios[1]?.median).toBeLessThan(0.6);
    expect(turnsLines(summary).map((line) => line.split(/\s+/).slice(0, 3).join(" "))).toEqual([
      "1 A 1",
      " A 2",
      " B 1",
      " B 2",
      " A/B 1",
      " A/B 2",
    ]);
    expect(turnsNotes(summary)).toEqual([]);
  });

  it("fails a later turn of the first target that is above the bound, and nothing else", async () => {
    const slow = summarizeTurns(4, [await rounds(chatServer(40, 40))]);
    expect(turnsFaults(slow, 0.05)).toEqual([expect.stringMatching(/^at 4 the TTFT of turn 2 is .*, above 0\.05$/)]);
    expect(turnsFaults(slow, 1000)).toEqual([]);
    expect(turnsFaults(slow, undefined)).toEqual([]);
  });
});
