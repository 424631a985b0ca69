// Reused prompts: every answer is what it would be without reuse, nothing is computed twice, and nobody reads another's.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { GenerateOptions } from "./protocol.ts";
import { type FakeEngineOptions, fakeAnswer } from "./testing/fake-engine.ts";
import { loopMachine, tokens } from "./testing/loop-machine.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-reuse-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const machine = (overrides: Partial<FakeEngineOptions> = {}, bytesMax = 1e9) =>
  loopMachine({ ...overrides, dir, bytesMax });

describe("a chat's next turn", () => {
  test("computes only what is new, and answers as without reuse", async () => {
    const { run, computed } = machine();
    const first = tokens(300);
    const { answer, cachedTokens } = await run(first);
    expect(cachedTokens).toBe(0);
    expect(answer).toEqual(fakeAnswer(first, 8));
    const before = computed();
    const second = [...first, ...answer, ...tokens(20, 5)];
    const again = await run(second);
    expect(again.answer).toEqual(fakeAnswer(second, 8));
    // The last token of an answer was sampled, but never went into the model.
    expect(again.cachedTokens).toBe(300 + answer.length - 1);
    expect(computed() - before).toBe(second.length - again.cachedTokens + again.answer.length - 1);
  });

  test("of the very same prompt computes its last token again, for the logits", async () => {
    const { run } = machine();
    const prompt = tokens(100);
    await run(prompt);
    const again = await run(prompt);
    expect(again.cachedTokens).toBe(99);
    expect(again.answer).toEqual(fakeAnswer(prompt, 8));
  });

  test("finds its slot among those of other chats, and they find theirs", async () => {
    const { run } = machine();
    const chats = [1, 2, 3, 4].map((seed) => tokens(100, seed));
    for (const chat of chats) await run(chat);
    for (const chat of chats) expect((await run([...chat, 7])).cachedTokens).toBe(100);
  });

  test("is found again after more chats than there are slots", async () => {
    const { run } = machine();
    const chats = Array.from({ length: 9 }, (_, i) => tokens(200, i + 1));
    for (const chat of chats) await run(chat);
    for (const chat of chats) {
      const again = await run([...chat, 7]);
      expect(again.cachedTokens).toBe(200);
      expect(again.answer).toEqual(fakeAnswer([...chat, 7], 8));
    }
  });

  test("leaves a long chat whole when only its beginning is shared", async () => {
    const { run } = machine();
    const system = tokens(200);
    const long = [...system, ...tokens(800, 3)];
    await run(long);
    expect((await run([...system, ...tokens(10, 4)])).cachedTokens).toBe(200);
    expect((await run([...long, 7])).cachedTokens).toBe(1000);
  });
});

describe("prompts that come together", () => {
  test("with the same beginning compute it once", async () => {
    const { start, computed } = machine({ sequences: 16 });
    const shared = tokens(1000);
    const prompts = Array.from({ length: 16 }, (_, i) => [...shared, ...tokens(10, i + 1)]);
    const ended = await Promise.all(prompts.map((prompt) => start(prompt, { maxTokens: 1 }).ended));
    ended.forEach((end, i) => {
      expect(end).toMatchObject({ answer: fakeAnswer(prompts[i] ?? [], 1), cachedTokens: i === 0 ? 0 : 1000 });
    });
    expect(computed()).toBe(1000 + 16 * 10);
  });

  test("go on by themselves when the one that computes it is cancelled half-way", async () => {
    let steps = 0;
    let cancelFirst = (): void => undefined;
    const { start, cancel } = machine({
      onStep: () => {
        steps += 1;
        if (steps === 4) cancelFirst();
      },
    });
    const shared = tokens(1000);
    const first = start([...shared, 1]);
    const others = [2, 3].map((last) => start([...shared, last]));
    cancelFirst = () => cancel(first.key);
    expect(await first.ended).toBe("cancelled");
    for (const [i, { ended }] of others.entries())
      expect(await ended).toMatchObject({ answer: fakeAnswer([...shared, i + 2], 8) });
  });

  test("never wait for each other when the second gets the slot that the first is to copy from", async () => {
    const system = tokens(200);
    const document = [...system, ...tokens(300, 4)];
    const prompts = [1, 2].map((last) => [...document, last]);
    let steps = Number.NEGATIVE_INFINITY;
    let arrive = (): void => undefined;
    const { run, start } = machine({
      sequences: 3,
      onStep: () => {
        steps += 1;
        if (steps === 3) arrive();
      },
    });
    await run([...system, ...tokens(800, 3)]);
    steps = 0;
    // Both come during a step. The first wants the system prompt out of the chat's slot; the second gets that slot, and
    // wants the whole document from the first.
    const ended = new Promise<unknown[]>((resolve) => {
      arrive = () => resolve(Promise.all(prompts.map((prompt) => start(prompt).ended)));
    });
    const other = start(tokens(20, 9), { maxTokens: 400 });
    expect(await ended).toMatchObject(prompts.map((prompt) => ({ answer: fakeAnswer(prompt, 8) })));
    await other.ended;
  });

  test("never wait for their own slot when nothing better is left of what they waited for", async () => {
    const system = tokens(100);
    const document = [...system, ...tokens(600, 4)];
    let steps = Number.NEGATIVE_INFINITY;
    let arrive = (): void => undefined;
    let cancelFirst = (): void => undefined;
    const { run, start, cancel } = machine({
      sequences: 3,
      next: () => 1,
      onStep: () => {
        steps += 1;
        if (steps === 7) arrive();
        if (steps === 8) cancelFirst();
      },
    });
    await run([...system, ...tokens(800, 3)]);
    steps = 0;
    // In slot 1, which is empty after its eighth step.
    const other = start(tokens(20, 9), { maxTokens: 8, prefixSalt: undefined });
    const second = new Promise((resolve) => {
      arrive = () => {
        // Every token of it is computed: when it is cancelled it holds less than the second's own slot.
        const first = start([...document, 1], { promptLogprobs: { top: 0 } });
        cancelFirst = () => cancel(first.key);
        resolve(start([...document, 2]).ended);
      };
    });
    expect(await second).toMatchObject({ answer: Array.from({ length: 8 }, () => 1) });
    await other.ended;
  });

  test("are cancelled while they wait, without harm to what the slot held", async () => {
    const { run, start, cancel } = machine({ sequences: 2 });
    const old = tokens(100, 9);
    await run(old);
    const shared = tokens(1000);
    const first = start([...shared, 1]);
    const second = start([...shared, 2]);
    await Promise.resolve();
    cancel(second.key);
    expect(await second.ended).toBe("cancelled");
    expect(await first.ended).toMatchObject({ answer: fakeAnswer([...shared, 1], 8) });
    expect((await run([...old, 7])).cachedTokens).toBe(100);
  });
});

test("a prompt joins those that share a batch, not one that is decoded alone", async () => {
  const batches: number[][] = [];
  const { start } = machine({
    sequences: 6,
    next: () => 1,
    onStep: (batch) => void batches.push(batch.map(({ sequence }) => sequence)),
  });
  // In slots 0, 1 and 2, of which the first is free again soon.
  const first = start(tokens(20), { prefixSalt: undefined, maxTokens: 3 });
  const alone = start(tokens(20), { prefixSalt: undefined, maxTokens: 60, deterministic: true });
  const shared = start(tokens(20, 2), { maxTokens: 60 });
  await first.ended;
  await Promise.all([start(tokens(20, 3), { maxTokens: 2 }).ended, alone.ended, shared.ended]);
  expect(batches).toContainEqual([1]);
  expect(batches).toContainEqual([2, 3]);
});

describe("nobody reads", () => {
  test.each([
    ["another salt's prompt", { prefixSalt: "b" }],
    ["anything without a salt", { prefixSalt: undefined }],
    ["what must be scored token by token", { promptLogprobs: { top: 0 } }],
  ] as [string, Partial<GenerateOptions>][])("%s", async (_name, options) => {
    const { run, start } = machine();
    const prompt = tokens(500);
    await run(prompt);
    expect((await run([...prompt, 7], options)).cachedTokens).toBe(0);
    const together = await Promise.all([start(tokens(400, 2)).ended, start(tokens(400, 2), options).ended]);
    expect(together[1]).toMatchObject({ cachedTokens: 0 });
  });

  test("what a prompt without a salt left", async () => {
    const { run } = machine();
    const prompt = tokens(500);
    await run(prompt, { prefixSalt: undefined });
    expect((await run([...prompt, 7], { prefixSalt: "" })).cachedTokens).toBe(0);
  });
});

describe("when it can't be", () => {
  test("an engine that can't cut a sequence computes the prompt anew", async () => {
    const { run } = machine({ canCut: false });
    const prompt = tokens(300);
    await run(prompt);
    const other = [...prompt.slice(0, 200), ...tokens(50, 4)];
    const again = await run(other);
    expect(again).toMatchObject({ answer: fakeAnswer(other, 8), cachedTokens: 0 });
  });

  test.each(["save", "load"] as const)(
    "a %s that fails costs the time, not the answer, and is said once",
    async (what) => {
      const { run, start, warnings } = machine({
        onCopy: (copied) => {
          if (copied === what) throw new Error("no space left");
        },
      });
      const shared = tokens(1000);
      const ended = await Promise.all([1, 2, 3].map((last) => start([...shared, last]).ended));
      for (const [i, end] of ended.entries()) expect(end).toMatchObject({ answer: fakeAnswer([...shared, i + 1], 8) });
      for (let seed = 1; seed < 9; seed++) await run(tokens(200, seed));
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("no space left");
    },
  );
});

describe("what is saved", () => {
  test("stays within its bytes, the least recently used going first", async () => {
    // A state of the fake engine has 1,000 bytes a token.
    const { run, store } = machine({}, 1_000_000);
    const chats = Array.from({ length: 20 }, (_, i) => tokens(200, i + 1));
    for (const chat of chats) {
      await run(chat);
      expect(store.bytes).toBeLessThanOrEqual(1_000_000);
    }
    expect((await run([...(chats[19] as number[]), 7])).cachedTokens).toBe(200);
    expect((await run([...(chats[0] as number[]), 7])).cachedTokens).toBe(0);
  });

  test("is nothing when nothing may be kept, and still one of equal prompts computes for all", async () => {
    const { start, store, computed } = machine({}, 0);
    const shared = tokens(1000);
    await Promise.all([1, 2, 3].map((last) => start([...shared, last], { maxTokens: 1 }).ended));
    expect(store.bytes).toBe(0);
    expect(computed()).toBe(1003);
  });
});

test("under any mix of prompts, cancellations and sizes, every answer is what it would be alone", async () => {
  let state = 12_345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let round = 0; round < 30; round++) {
    const { start, cancel } = machine(
      { sequences: 1 + random(6), batchTokens: 16 + random(200), canCut: random(5) > 0 },
      random(3) * 300_000,
    );
    const roots = Array.from({ length: 3 }, (_, i) => tokens(20 + random(300), i + 1));
    const all = Array.from({ length: 25 }, () => {
      const prompt = [...(roots[random(3)] as number[]), ...tokens(1 + random(40), 1 + random(4))];
      const options = { prefixSalt: ["a", "b", undefined][random(3)], deterministic: random(6) === 0 };
      return { prompt, ...start(prompt, options) };
    });
    for (const { key } of all) if (random(6) === 0) setImmediate(() => cancel(key));
    for (const { prompt, ended } of all) {
      const end = await ended;
      if (end !== "cancelled") expect(end.answer).toEqual(fakeAnswer(prompt, 8));
    }
  }
});
