// Sequences that move to another slot: the batch comes in one piece again, and every answer is what it would be without a move.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { countPieces } from "./batch-pieces.ts";
import { KvSlots } from "./kv-slots.ts";
import type { PrefixSource } from "./prefix-plan.ts";
import { Sequence } from "./sequence.ts";
import { SlotMoves } from "./slot-moves.ts";
import { StateCopies } from "./state-copies.ts";
import { StateStore } from "./state-store.ts";
import { fakeAnswer, fakeEngine } from "./testing/fake-engine.ts";
import { type LoopMachineOptions, loopMachine, requestOptions, tokens } from "./testing/loop-machine.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-moves-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Never the end of a text. */
const next = (held: readonly number[]): number => 1 + (held.reduce((sum, token) => (sum * 31 + token) % 9973, 7) % 60);
const answer = (prompt: readonly number[], max: number): number[] => {
  const held = [...prompt];
  while (held.length < prompt.length + max) held.push(next(held));
  return held.slice(prompt.length);
};

/** A machine on which a piece costs much; `slots` are those of each step's batch. */
function machine(overrides: Partial<LoopMachineOptions> = {}) {
  const slots: number[][] = [];
  let [saves, loads, moves] = [0, 0, 0];
  const loop = loopMachine({
    dir,
    bytesMax: 1e9,
    sequences: 8,
    pieceMs: 50,
    copyMs: 10,
    next,
    ...overrides,
    onStep: async (batch) => {
      slots.push(batch.map(({ sequence }) => sequence));
      await overrides.onStep?.(batch);
    },
    onCopy: (what, path) => {
      if (what === "save") saves += 1;
      else loads += 1;
      overrides.onCopy?.(what, path);
      if (what === "load" && path.endsWith("moving.state")) moves += 1;
    },
  });
  const pieces = (): number[] => slots.map((batch) => countPieces(new Set(batch)));
  return { ...loop, slots, pieces, copies: () => ({ saves, loads, moves }) };
}

/** Three sequences side by side, of which the middle one ends first. */
async function middleEnds({ start }: ReturnType<typeof machine>, options: Parameters<typeof start>[1] = {}) {
  const lengths = [120, 30, 120];
  const ended = lengths.map((maxTokens, i) => start(tokens(40, i + 1), { ...options, maxTokens }).ended);
  for (const [i, end] of (await Promise.all(ended)).entries())
    expect(end).toMatchObject({ answer: answer(tokens(40, i + 1), lengths[i] as number) });
}

describe("the gap of a sequence that ended among others", () => {
  test("is closed, and they say what they would have said", async () => {
    const loop = machine();
    await middleEnds(loop);
    expect(loop.pieces().filter((pieces) => pieces > 1).length).toBeLessThan(10);
    expect(loop.pieces().at(-1)).toBe(1);
    expect(loop.copies()).toEqual({ saves: 1, loads: 1, moves: 1 });
  });

  test("is closed for sequences too that share with nobody, which leave no state behind", async () => {
    const loop = machine();
    await middleEnds(loop, { prefixSalt: undefined });
    expect(loop.pieces().at(-1)).toBe(1);
    expect(loop.copies()).toEqual({ saves: 1, loads: 1, moves: 1 });
    expect(loop.store.bytes).toBe(0);
  });

  test("stays where a copy would hold up the streams for too long", async () => {
    const loop = machine({ copyMs: 5000 });
    await copyOnce(loop);
    await middleEnds(loop, { prefixSalt: undefined });
    expect(loop.copies().moves).toBe(0);
    expect(loop.pieces().filter((pieces) => pieces > 1).length).toBeGreaterThan(80);
  });

  test("is none beside a sequence that is decoded alone", async () => {
    const loop = machine();
    const alone = { deterministic: true, prefixSalt: undefined };
    const ended = [{}, {}, alone].map((options, i) =>
      loop.start(tokens(40, i + 1), { ...options, maxTokens: i === 1 ? 30 : 120 }),
    );
    await Promise.all(ended.map(({ ended }) => ended));
    // While two shared the batch, it was learnt what a piece costs.
    expect(loop.slots).toContainEqual([0, 1]);
    expect(loop.slots).toContainEqual([2]);
    expect(loop.copies()).toEqual({ saves: 0, loads: 0, moves: 0 });
  });

  test.each(["save", "load"] as const)("stays for a minute after a %s failed, and nobody notices", async (failing) => {
    const loop = machine({
      onCopy: (what) => {
        if (what === failing) throw new Error("no space left");
      },
    });
    await middleEnds(loop, { prefixSalt: undefined });
    expect(loop.copies().saves).toBe(1);
    expect(loop.warnings).toEqual([expect.stringContaining("streams stay where they are")]);
    await middleEnds(loop, { prefixSalt: undefined });
    const { saves } = loop.copies();
    // Each step of this takes 55 ms or more of the machine's clock.
    await loop.start(tokens(40), { maxTokens: 1200 }).ended;
    await middleEnds(loop, { prefixSalt: undefined });
    expect(loop.copies().saves).toBe(saves + 1);
    expect(loop.warnings).toHaveLength(1);
  });
});

/** Has a prompt copied from one slot to another, which tells what copies cost. */
async function copyOnce({ start }: ReturnType<typeof machine>): Promise<void> {
  const shared = tokens(1000, 9);
  await Promise.all([1, 2].map((last) => start([...shared, last], { maxTokens: 1 }).ended));
}

test("a chat's second turn far from the others stays in place, and is brought to them when it turns out long", async () => {
  const loop = machine();
  const chats = Array.from({ length: 8 }, (_, i) => tokens(60, i + 1));
  await Promise.all(chats.map((chat) => loop.start(chat, { maxTokens: 2 }).ended));
  loop.slots.length = 0;
  const turn = (i: number) => [...(chats[i] as number[]), 5, 6];
  const ended = await Promise.all([0, 1, 6].map((i) => loop.start(turn(i), { maxTokens: 100 }).ended));
  for (const [n, i] of [0, 1, 6].entries()) {
    expect(ended[n]).toMatchObject({ answer: answer(turn(i), 100), cachedTokens: 60 });
  }
  expect(loop.slots).toContainEqual([0, 1, 6]);
  expect(loop.pieces().at(-1)).toBe(1);
  expect(loop.copies()).toEqual({ saves: 2, loads: 1, moves: 1 });
  // What the slots held that were overwritten is found again.
  for (const chat of chats) expect((await loop.run([...chat, 7])).cachedTokens).toBe(60);
});

describe("who waits for a prefix", () => {
  /** Two that decode in slots 0 and 2, and one in slot 3 that waits for tokens of a slot. */
  async function waitingFor(source: PrefixSource) {
    const { engine, context } = fakeEngine({ sequences: 6, contextLength: 4096, batchTokens: 512, next });
    const store = new StateStore({ context, contextLength: 4096, dir, bytesMax: 1e9, spill: undefined, warn: fail });
    const slots = new KvSlots(context, 6);
    const nowMs = () => 0;
    const copies = new StateCopies({ slots, store, nowMs });
    const moves = new SlotMoves({ slots, store, copies, prefillMsPerToken: () => 1, nowMs });
    const running = new Map<number, Sequence>();
    const add = (slot: number): Sequence => {
      const options = { ...requestOptions, requestId: String(slot), tokens: Uint32Array.from(tokens(40, slot + 1)) };
      const sequence = new Sequence(engine, slot, { ...options, maxTokens: 1000 }, slot, slot);
      slots.take(slot);
      running.set(slot, sequence);
      return sequence;
    };
    const decoding = [add(0), add(2)];
    for (const sequence of decoding) {
      context.initBatch();
      sequence.addToBatch(40, true);
      await context.decodeBatch();
      for (let i = 0; i < 100; i++) sequence.accept(7, undefined, []);
    }
    const waiter = add(3);
    waiter.wait = { reused: 20, source };
    const plan = [0, 2].map((slot) => ({ slot, tokens: 1, sample: true }));
    moves.observe(plan, 2, 1000);
    await moves.closeGap(running);
    return { moved: running.get(0)?.slot, source: waiter.wait.source };
  }

  test("gets it from the slot that its source has moved to", async () => {
    expect(await waitingFor({ kind: "busy", slot: 0 })).toEqual({ moved: 1, source: { kind: "busy", slot: 1 } });
    expect(await waitingFor({ kind: "busy", slot: 2 })).toEqual({ moved: 1, source: { kind: "busy", slot: 2 } });
  });

  test("of a free slot finds it there still: nobody moves into it", async () => {
    expect(await waitingFor({ kind: "free", slot: 1 })).toEqual({ moved: 4, source: { kind: "free", slot: 1 } });
  });
});

function fail(sentence: string): never {
  throw new Error(sentence);
}

test("under any arrivals, ends and moves, no answer has another's tokens, and every slot comes back", async () => {
  let seed = 4242;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  let moves = 0;
  const longTexts = Array.from({ length: 60 }, (_, token) => [token + 1]).filter(
    (prompt) => fakeAnswer(prompt, 20).length === 20,
  );
  for (let round = 0; round < 25; round++) {
    const sequences = 3 + random(6);
    const failing = random(4) === 0;
    const canCut = random(6) > 0;
    const loop = machine({
      sequences,
      batchTokens: 16 + random(200),
      copyMs: random(3) * 8,
      canCut,
      bytesMax: random(3) * 100_000,
      next: undefined as never,
      onCopy: () => {
        if (failing && random(8) === 0) throw new Error("no space left");
      },
    });
    const all = [];
    for (let i = 0; i < 40; i++) {
      const prompt = [...tokens(20 + random(3) * 40, 1 + random(4)), ...tokens(1 + random(20), 5 + random(4))];
      const maxTokens = 1 + random(90);
      const { key, ended } = loop.start(prompt, {
        maxTokens,
        prefixSalt: ["a", "b", undefined][random(3)],
        deterministic: random(8) === 0,
        guessTokensMax: canCut && random(3) === 0 ? 3 : 0,
      });
      all.push({ prompt, maxTokens, ended });
      if (random(10) === 0) setImmediate(() => loop.cancel(key));
      // Some come while others run.
      if (random(3) === 0) await new Promise(setImmediate);
    }
    for (const { prompt, maxTokens, ended } of all) {
      const end = await ended;
      if (end !== "cancelled") expect(end.answer).toEqual(fakeAnswer(prompt, maxTokens));
    }
    moves += loop.copies().moves;
    // As many as there are slots run at once again.
    loop.slots.length = 0;
    await Promise.all(longTexts.slice(0, sequences).map((prompt) => loop.start(prompt, { maxTokens: 20 }).ended));
    expect(Math.max(...loop.slots.map(({ length }) => length))).toBe(sequences);
  }
  expect(moves).toBeGreaterThan(25);
});
