// A sequence moves only where the batch then has fewer pieces, and only where that saves more time than it takes.
import { describe, expect, test } from "vitest";
import { countPieces } from "./batch-pieces.ts";
import { type BatchMember, type MoveState, planMove, type SlotMove } from "./move-plan.ts";

/** 16 slots, of which these are in the batch; each move costs 10 ms, pays for a hundred steps, and a piece takes 10 ms. */
function state(slots: readonly number[], changes: Partial<MoveState> = {}, of: Partial<BatchMember> = {}): MoveState {
  const free = Array.from({ length: 16 }, (_, slot) => slot).filter((slot) => !slots.includes(slot));
  return {
    members: slots.map((slot) => ({ slot, moveMs: 10, stepsLeft: 100, ...of })),
    targets: free.map((slot) => ({ slot, takeMs: 0 })),
    pieceMs: 10,
    ...changes,
  };
}

function after(slots: readonly number[], { from, to }: SlotMove): number[] {
  return [...slots.filter((slot) => slot !== from), to];
}

describe("a move", () => {
  test("fills the gap that an ended sequence left, from an end of the others", () => {
    const move = planMove(state([0, 1, 2, 4, 5]));
    expect([0, 5]).toContain(move?.from);
    expect(move?.to).toBe(3);
  });

  test("brings the one that is far off beside the others", () => {
    const slots = [0, 1, 2, 9];
    expect(planMove(state(slots))).toEqual({ from: 9, to: 3 });
  });

  test("takes of two that would do the one that costs less, into the slot that costs less", () => {
    const members = [0, 1, 2, 4, 5].map((slot) => ({ slot, moveMs: slot === 0 ? 5 : 10, stepsLeft: 100 }));
    expect(planMove(state([0, 1, 2, 4, 5], { members }))).toEqual({ from: 0, to: 3 });
    for (const cheap of [0, 4]) {
      const targets = [0, 4].map((slot) => ({ slot, takeMs: slot === cheap ? 0 : 50 }));
      expect(planMove(state([1, 2, 3, 9], { targets }))).toEqual({ from: 9, to: cheap });
    }
  });

  test("is not made where all are in one piece, or nowhere is room", () => {
    expect(planMove(state([4, 5, 6]))).toBeUndefined();
    expect(planMove(state([7]))).toBeUndefined();
    expect(planMove(state([]))).toBeUndefined();
    expect(planMove(state([0, 1, 3], { targets: [] }))).toBeUndefined();
  });
});

describe("what does not pay is not done", () => {
  test("a copy that costs more than the pieces saved by then", () => {
    expect(planMove(state([0, 1, 3], {}, { stepsLeft: 2, moveMs: 19 }))).toBeDefined();
    expect(planMove(state([0, 1, 3], {}, { stepsLeft: 2, moveMs: 21 }))).toBeUndefined();
  });

  test("a slot whose tokens cost more to lose", () => {
    const targets = [{ slot: 2, takeMs: 2000 }];
    expect(planMove(state([0, 1, 3], { targets }))).toBeUndefined();
  });

  test("a move beside others that end soon", () => {
    const members = [0, 1, 3].map((slot) => ({ slot, moveMs: slot === 3 ? 10 : undefined, stepsLeft: 1 }));
    const long = members.map((member) => (member.slot === 3 ? { ...member, stepsLeft: 1000 } : member));
    expect(planMove(state([0, 1, 3], { members: long }))).toBeUndefined();
  });

  test("anything while pieces cost nothing", () => {
    expect(planMove(state([0, 1, 3], { pieceMs: 0 }))).toBeUndefined();
  });
});

describe("who has to stay", () => {
  test("stays, and others come to it", () => {
    const members = [0, 9].map((slot) => ({ slot, moveMs: slot === 9 ? undefined : 10, stepsLeft: 100 }));
    const move = planMove(state([0, 9], { members }));
    expect(move?.from).toBe(0);
    expect([8, 10]).toContain(move?.to);
  });

  test("keeps a gap open where nobody can move", () => {
    expect(planMove(state([0, 9], {}, { moveMs: undefined }))).toBeUndefined();
  });
});

describe("gaps that one move does not close", () => {
  test("are closed by several", () => {
    for (const slots of [
      [0, 1, 6, 7],
      [0, 1, 2, 5, 6, 7],
      [0, 1, 5, 6, 10, 11],
    ]) {
      let now: number[] = slots;
      let moves = 0;
      for (let move = planMove(state(now)); move !== undefined; move = planMove(state(now))) {
        now = after(now, move);
        moves += 1;
        expect(moves).toBeLessThanOrEqual(slots.length);
      }
      expect(countPieces(new Set(now))).toBe(1);
    }
  });

  test("are left where the moves together cost more than they bring", () => {
    expect(planMove(state([0, 1, 6, 7], {}, { stepsLeft: 3, moveMs: 14 }))).toBeDefined();
    expect(planMove(state([0, 1, 6, 7], {}, { stepsLeft: 3, moveMs: 16 }))).toBeUndefined();
  });
});

test("whatever runs where, moves go from a sequence that may move to a free slot, save more than they cost, and end", () => {
  let seed = 99;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let round = 0; round < 500; round++) {
    let members: BatchMember[] = [];
    let targets: { slot: number; takeMs: number }[] = [];
    for (let slot = 0; slot < 12; slot++) {
      const kind = random(5);
      if (kind <= 1) {
        members.push({ slot, moveMs: random(4) === 0 ? undefined : random(30), stepsLeft: random(60) });
      } else if (kind <= 3) targets.push({ slot, takeMs: random(3) * 10 });
    }
    const pieceMs = random(5);
    const before = countPieces(new Set(members.map(({ slot }) => slot)));
    let costMs = 0;
    let moves = 0;
    const longest = Math.max(0, ...members.map(({ stepsLeft }) => stepsLeft));
    for (;;) {
      const move = planMove({ members, targets, pieceMs });
      if (move === undefined) break;
      const member = members.find(({ slot }) => slot === move.from);
      const target = targets.find(({ slot }) => slot === move.to);
      costMs += (member?.moveMs ?? Number.NaN) + (target?.takeMs ?? Number.NaN);
      members = members.map((other) => (other === member ? { ...other, slot: move.to } : other));
      targets = targets.map((other) => (other === target ? { slot: move.from, takeMs: 0 } : other));
      moves += 1;
      expect(moves).toBeLessThan(20);
    }
    const less = before - countPieces(new Set(members.map(({ slot }) => slot)));
    expect(Number.isNaN(costMs)).toBe(false);
    if (moves > 0) expect(less * pieceMs * longest).toBeGreaterThan(costMs);
  }
});
