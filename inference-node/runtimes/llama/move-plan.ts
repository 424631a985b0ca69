// Decides whether a running sequence moves to another slot, so that the batch comes in fewer pieces. Pure: state in, move out.
import { countPieces } from "./batch-pieces.ts";

/** A sequence that is, or will be, in the shared batch. */
export interface BatchMember {
  readonly slot: number;
  /** What moving it costs, in milliseconds; undefined when it has to stay. */
  readonly moveMs: number | undefined;
  /** Steps that it is expected to run on. */
  readonly stepsLeft: number;
}

/** A free slot that a sequence may move to. */
export interface MoveTarget {
  readonly slot: number;
  /** What overwriting it costs, in milliseconds. */
  readonly takeMs: number;
}

export interface MoveState {
  readonly members: readonly BatchMember[];
  readonly targets: readonly MoveTarget[];
  /** What one more piece adds to a step, in milliseconds. */
  readonly pieceMs: number;
}

export interface SlotMove {
  readonly from: number;
  readonly to: number;
}

type Movable = BatchMember & { readonly moveMs: number };

/**
 * The move that saves most, or undefined when none saves more than it costs. A gap that no single move closes is closed by
 * several, of which this gives the first: each makes the rest cheaper, so that the steps after it go on with it.
 */
export function planMove({ members, targets, pieceMs }: MoveState): SlotMove | undefined {
  const taken = new Set(members.map(({ slot }) => slot));
  if (pieceMs <= 0 || targets.length === 0 || countPieces(taken) < 2) return undefined;
  const movable = members.filter((member): member is Movable => member.moveMs !== undefined);
  if (movable.length === 0) return undefined;
  const gain = (moving: readonly BatchMember[], pieces: number): number =>
    pieces * pieceMs * stepsTogether(members, moving);
  return bestSingle(movable, targets, taken, gain) ?? firstOfMany(movable, targets, taken, gain);
}

/** How long a gain lasts: while the moved sequences and one of the others run. */
function stepsTogether(members: readonly BatchMember[], moving: readonly BatchMember[]): number {
  let others = 0;
  for (const member of members) if (!moving.includes(member)) others = Math.max(others, member.stepsLeft);
  return moving.reduce((steps, { stepsLeft }) => Math.min(steps, stepsLeft), others);
}

/** How many pieces fewer there are after a move. */
function piecesLess({ from, to }: SlotMove, taken: ReadonlySet<number>): number {
  const joins = (slot: number): number => Number(taken.has(slot) && slot !== from);
  return joins(to - 1) + joins(to + 1) - joins(from - 1) - joins(from + 1);
}

type Gain = (moving: readonly BatchMember[], pieces: number) => number;

function bestSingle(
  movable: readonly Movable[],
  targets: readonly MoveTarget[],
  taken: ReadonlySet<number>,
  gain: Gain,
): SlotMove | undefined {
  let best: { net: number; move: SlotMove } | undefined;
  for (const member of movable) {
    const ofOne = gain([member], 1);
    for (const { slot: to, takeMs } of targets) {
      const move = { from: member.slot, to };
      const net = piecesLess(move, taken) * ofOne - member.moveMs - takeMs;
      if (net > (best?.net ?? 0)) best = { net, move };
    }
  }
  return best?.move;
}

/** Tries all ways to lay the movable sequences side by side; gives the first move of the one that saves most. */
function firstOfMany(
  movable: readonly Movable[],
  targets: readonly MoveTarget[],
  taken: ReadonlySet<number>,
  gain: Gain,
): SlotMove | undefined {
  const bySlot = new Map<number, Movable | MoveTarget>([...movable, ...targets].map((item) => [item.slot, item]));
  const usable = [...bySlot.keys()].sort((a, b) => a - b);
  const staying = [...taken].filter((slot) => !bySlot.has(slot));
  const pieces = countPieces(taken);
  let best: { net: number; moving: readonly Movable[]; into: readonly MoveTarget[] } | undefined;
  for (let first = 0; first + movable.length <= usable.length; first++) {
    const window = new Set(usable.slice(first, first + movable.length));
    const less = pieces - countPieces(new Set([...staying, ...window]));
    if (less <= 0) continue;
    const moving = movable.filter(({ slot }) => !window.has(slot));
    const into = targets.filter(({ slot }) => window.has(slot));
    const costMs = moving.reduce((sum, { moveMs }) => sum + moveMs, 0) + into.reduce((sum, t) => sum + t.takeMs, 0);
    const net = gain(moving, less) - costMs;
    if (net > (best?.net ?? 0)) best = { net, moving, into };
  }
  return best && leastHarmful(best.moving, best.into, taken);
}

/** Of the moves that are due anyway, the one that leaves the fewest pieces until the others follow. */
function leastHarmful(
  moving: readonly Movable[],
  into: readonly MoveTarget[],
  taken: ReadonlySet<number>,
): SlotMove | undefined {
  const moves = moving.flatMap(({ slot: from }) => into.map(({ slot: to }) => ({ from, to })));
  return moves.reduce<SlotMove | undefined>(
    (best, move) => (best === undefined || piecesLess(move, taken) > piecesLess(best, taken) ? move : best),
    undefined,
  );
}
