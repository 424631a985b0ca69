// Deterministic automata: a regular language as states, so that one character leaves one way open however it was written.
import { anyChar, type CharSet, charSet, complement, includes, intersection } from "./char-set.ts";
import { refused } from "./constraint-error.ts";
import { RegexNfa } from "./regex-nfa.ts";
import type { Regex } from "./regex-syntax.ts";
import { chars, repeat, sequence } from "./regex-syntax.ts";

interface State {
  readonly accepts: boolean;
  /** Disjoint sets. */
  readonly edges: readonly { readonly set: CharSet; readonly to: number }[];
}

/** State 0 is the start. Every state can reach one that accepts; there is none at all when the language is empty. */
export interface Automaton {
  readonly states: readonly State[];
}

const limits = { states: 4_000, work: 1_500_000 } as const;

/** A budget of steps, shared by everything that one request makes; its end is INVALID_ARGUMENT. */
export class Work {
  readonly path: string;
  readonly #budget: { left: number };

  constructor(path: string, budget: { left: number } = { left: limits.work }) {
    this.path = path;
    this.#budget = budget;
  }

  /** The same budget, under the path of a part. */
  at(path: string): Work {
    return new Work(path, this.#budget);
  }

  spend(steps: number): void {
    this.#budget.left -= steps;
    if (this.#budget.left < 0) throw refused(this.path, "takes more work to compile than a request may.");
  }
}

/** The texts that the expression matches whole. Throws INVALID_ARGUMENT for one that needs too many states. */
export function automatonOf(regex: Regex, work: Work): Automaton {
  return determinised(new RegexNfa(work).build(regex), work);
}

/** The texts that the expression matches anywhere in, as JSON Schema's `pattern` means it. */
export function searchAutomatonOf(regex: Regex, work: Work): Automaton {
  const anything = repeat(chars(anyChar), 0);
  return automatonOf(sequence(anything, regex, anything), work);
}

/** The texts of both. */
export function both(a: Automaton, b: Automaton, work: Work): Automaton {
  return product(a, b, (x, y) => x && y, work);
}

/** The texts of `a` that `b` has not. */
export function without(a: Automaton, b: Automaton, work: Work): Automaton {
  return product(a, completed(b), (x, y) => x && !y, work);
}

export function isEmpty({ states }: Automaton): boolean {
  return states.length === 0;
}

export function accepts({ states }: Automaton, text: string): boolean {
  let at = 0;
  for (const char of text) {
    const code = char.codePointAt(0) as number;
    const edge = states[at]?.edges.find(({ set }) => includes(set, code));
    if (edge === undefined) return false;
    at = edge.to;
  }
  return states[at]?.accepts ?? false;
}

/** Lengths of the shortest and longest text, in characters; the longest is Infinity when there is no end to it. */
export function lengthsOf({ states }: Automaton): { shortest: number; longest: number } {
  let shortest = Number.POSITIVE_INFINITY;
  let at = new Set(states.length > 0 ? [0] : []);
  for (let length = 0; at.size > 0; length++) {
    // A text as long as there are states has been in one of them twice.
    if (length > states.length) return { shortest, longest: Number.POSITIVE_INFINITY };
    const next = new Set<number>();
    for (const id of at) {
      if (states[id]?.accepts) shortest = Math.min(shortest, length);
      for (const { to } of states[id]?.edges ?? []) next.add(to);
    }
    if (next.size === 0) return { shortest, longest: length };
    at = next;
  }
  return { shortest, longest: 0 };
}

/** Whole numbers that `divisor` divides, zero among them, without leading zeros. */
export function multiplesAutomaton(divisor: number): Automaton {
  const digits = (remainder: number, from: number) =>
    Array.from({ length: 10 - from }, (_, i) => ({
      set: [[0x30 + from + i, 0x30 + from + i]] as const,
      to: 3 + ((remainder * 10 + from + i) % divisor),
    }));
  const zero = { set: [[0x30, 0x30]] as const, to: 2 };
  const states: State[] = [
    { accepts: false, edges: [zero, { set: [[0x2d, 0x2d]], to: 1 }, ...digits(0, 1)] },
    { accepts: false, edges: digits(0, 1) },
    { accepts: true, edges: [] },
  ];
  for (let remainder = 0; remainder < divisor; remainder++) {
    states.push({ accepts: remainder === 0, edges: digits(remainder, 0) });
  }
  return { states };
}

export type EdgeKind = "always" | "at start" | "at end";

/** States with several ways on, and edges that read nothing; `kind` says where these are open. */
export interface Nondeterministic {
  readonly silent: readonly (readonly { to: number; kind: EdgeKind }[])[];
  readonly read: readonly (readonly { set: CharSet; to: number }[])[];
  readonly start: number;
  readonly end: number;
}

/** The states that are reached without reading. */
function closure(nfa: Nondeterministic, from: Iterable<number>, open: ReadonlySet<EdgeKind>, work: Work): number[] {
  const seen = new Set(from);
  for (const state of seen) {
    for (const { to, kind } of nfa.silent[state] ?? []) if (open.has(kind)) seen.add(to);
  }
  work.spend(seen.size);
  return [...seen].sort((a, b) => a - b);
}

const openInside: ReadonlySet<EdgeKind> = new Set(["always"]);
const openAtStart: ReadonlySet<EdgeKind> = new Set(["always", "at start"]);
const openAtEnd: ReadonlySet<EdgeKind> = new Set(["always", "at end"]);
const openAtBoth: ReadonlySet<EdgeKind> = new Set(["always", "at start", "at end"]);

/** Throws INVALID_ARGUMENT when it takes too many states. */
export function determinised(nfa: Nondeterministic, work: Work): Automaton {
  const states: { accepts: boolean; edges: { set: CharSet; to: number }[] }[] = [];
  const ids = new Map<string, number>();
  const pending: number[][] = [];
  const idOf = (members: number[], atStart: boolean): number => {
    const key = `${atStart}${members.join()}`;
    const known = ids.get(key);
    if (known !== undefined) return known;
    const id = states.length;
    if (id >= limits.states) throw tooManyStates(work);
    ids.set(key, id);
    const ends = closure(nfa, members, atStart ? openAtBoth : openAtEnd, work);
    states.push({ accepts: ends.includes(nfa.end), edges: [] });
    pending.push(members);
    return id;
  };
  idOf(closure(nfa, [nfa.start], openAtStart, work), true);
  for (let id = 0; id < pending.length; id++) {
    const reads = (pending[id] as number[]).flatMap((state) => nfa.read[state] ?? []);
    for (const { set, targets } of disjoint(reads, work)) {
      states[id]?.edges.push({ set, to: idOf(closure(nfa, targets, openInside, work), false) });
    }
  }
  return trimmed(states);
}

/** Splits overlapping edges: for each set of targets, the characters that lead to just these. */
function disjoint(
  reads: readonly { set: CharSet; to: number }[],
  work: Work,
): { set: CharSet; targets: readonly number[] }[] {
  const borders: { at: number; to: number; opens: boolean }[] = [];
  for (const { set, to } of reads) {
    for (const [first, last] of set) borders.push({ at: first, to, opens: true }, { at: last + 1, to, opens: false });
  }
  borders.sort((a, b) => a.at - b.at);
  const open = new Map<number, number>();
  const byTargets = new Map<string, { ranges: [number, number][]; targets: readonly number[] }>();
  for (const [index, { at, to, opens }] of borders.entries()) {
    open.set(to, (open.get(to) ?? 0) + (opens ? 1 : -1));
    if (open.get(to) === 0) open.delete(to);
    const next = borders[index + 1];
    if (next === undefined || next.at === at || open.size === 0) continue;
    work.spend(open.size);
    const targets = [...open.keys()].sort((a, b) => a - b);
    const key = targets.join();
    const group = byTargets.get(key) ?? { ranges: [], targets };
    group.ranges.push([at, next.at - 1]);
    byTargets.set(key, group);
  }
  work.spend(4 * borders.length);
  return [...byTargets.values()].map(({ ranges, targets }) => ({ set: charSet(ranges), targets }));
}

function product(a: Automaton, b: Automaton, accept: (a: boolean, b: boolean) => boolean, work: Work): Automaton {
  if (isEmpty(a) || isEmpty(b)) return { states: [] };
  const states: { accepts: boolean; edges: { set: CharSet; to: number }[] }[] = [];
  const ids = new Map<number, number>();
  const pending: [number, number][] = [];
  const idOf = (x: number, y: number): number => {
    const key = x * b.states.length + y;
    const known = ids.get(key);
    if (known !== undefined) return known;
    if (states.length >= limits.states) throw tooManyStates(work);
    ids.set(key, states.length);
    states.push({ accepts: accept(a.states[x]?.accepts ?? false, b.states[y]?.accepts ?? false), edges: [] });
    pending.push([x, y]);
    return states.length - 1;
  };
  idOf(0, 0);
  for (let id = 0; id < pending.length; id++) {
    const [x, y] = pending[id] as [number, number];
    for (const left of a.states[x]?.edges ?? []) {
      for (const right of b.states[y]?.edges ?? []) {
        work.spend(left.set.length + right.set.length);
        const set = intersection(left.set, right.set);
        if (set.length > 0) states[id]?.edges.push({ set, to: idOf(left.to, right.to) });
      }
    }
  }
  return trimmed(states);
}

/** With a state that accepts nothing for every character that has no edge. */
function completed({ states }: Automaton): Automaton {
  const dead = states.length;
  const all = states.map(({ accepts: accepting, edges }) => {
    const rest = complement(edges.flatMap(({ set }) => [...set]));
    return { accepts: accepting, edges: rest.length === 0 ? edges : [...edges, { set: rest, to: dead }] };
  });
  return { states: [...all, { accepts: false, edges: [{ set: anyChar, to: dead }] }] };
}

/** Without the states from which nothing is accepted: a text that has come there could not end. */
function trimmed(states: readonly State[]): Automaton {
  const comesFrom: number[][] = states.map(() => []);
  for (const [from, { edges }] of states.entries()) for (const { to } of edges) comesFrom[to]?.push(from);
  const live = new Set(states.flatMap(({ accepts: accepting }, id) => (accepting ? [id] : [])));
  for (const id of live) for (const from of comesFrom[id] ?? []) live.add(from);
  if (!live.has(0)) return { states: [] };
  const alike = alikeStates(states, live, comesFrom);
  const kept = [...live].filter((id) => (alike.get(id) ?? id) === id).sort((a, b) => a - b);
  const ids = new Map(kept.map((id, index) => [id, index]));
  const idOf = (id: number): number => ids.get(alike.get(id) ?? id) as number;
  return {
    states: kept.map((id) => {
      const { accepts: accepting, edges } = states[id] as State;
      const bundled = new Map<number, CharSet>();
      for (const { set, to } of edges) {
        if (live.has(to)) bundled.set(idOf(to), charSet([...(bundled.get(idOf(to)) ?? []), ...set]));
      }
      return { accepts: accepting, edges: [...bundled].map(([to, set]) => ({ set, to })) };
    }),
  };
}

/**
 * For states that go on alike, the one that stands for them. Found from the ends back, so that states which can come
 * back to themselves stay as they are.
 */
function alikeStates(
  states: readonly State[],
  live: ReadonlySet<number>,
  comesFrom: readonly (readonly number[])[],
): ReadonlyMap<number, number> {
  const alike = new Map<number, number>();
  const bySignature = new Map<string, number>();
  const left = states.map(({ edges }) => edges.filter(({ to }) => live.has(to)).length);
  const ready = [...live].filter((id) => left[id] === 0);
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    const { accepts: accepting, edges } = states[id] as State;
    const byTarget = new Map<number, CharSet>();
    for (const { set, to } of edges) {
      const target = alike.get(to);
      if (target !== undefined) byTarget.set(target, charSet([...(byTarget.get(target) ?? []), ...set]));
    }
    const signature = `${accepting} ${[...byTarget].sort(([a], [b]) => a - b).join(" ")}`;
    const first = id === 0 ? undefined : bySignature.get(signature);
    alike.set(id, first ?? id);
    if (first === undefined) bySignature.set(signature, id);
    for (const from of comesFrom[id] ?? []) {
      if (!live.has(from)) continue;
      left[from] = (left[from] as number) - 1;
      if (left[from] === 0) ready.push(from);
    }
  }
  return alike;
}

function tooManyStates({ path }: Work) {
  return refused(path, `is too large: it needs more than ${limits.states} states.`);
}
