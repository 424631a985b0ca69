// Where a prompt goes and what it need not compute again.
import { describe, expect, test } from "vitest";
import { type BusySlot, type FreeSlot, type PrefixState, placePrompt } from "./prefix-plan.ts";

const tokens = (length: number, seed = 1): Uint32Array => Uint32Array.from({ length }, (_, i) => (i * 31 + seed) % 997);
const extended = (prefix: Uint32Array, more: number, seed = 5): Uint32Array =>
  Uint32Array.from([...prefix, ...tokens(more, seed)]);

const free = (slot: number, held: Uint32Array, lastUsed = 1, salt = "a"): FreeSlot => ({
  slot,
  tokens: held,
  salt,
  lastUsed,
});
const busy = (slot: number, planned: Uint32Array, held = planned.length): BusySlot => ({
  slot,
  tokens: planned,
  salt: "a",
  held,
  long: planned.length > 256,
});
const state = (given: Partial<PrefixState>): PrefixState => ({
  free: [free(0, new Uint32Array())],
  busy: [],
  taken: new Set(),
  saved: [],
  worthCopying: () => true,
  ...given,
});
const ask = (prompt: Uint32Array) => ({ tokens: prompt, salt: "a", reuse: true });

describe("a prompt", () => {
  test("of nothing known takes the lowest empty slot", () => {
    const slots = [free(3, new Uint32Array()), free(1, new Uint32Array()), free(0, tokens(50))];
    expect(placePrompt(ask(tokens(40, 9)), state({ free: slots }))).toEqual({
      slot: 1,
      reused: 0,
      source: { kind: "none" },
    });
  });

  test("of nothing known takes the slot that was not used for longest when none is empty", () => {
    const slots = [free(0, tokens(50, 2), 7), free(1, tokens(50, 3), 4), free(2, tokens(50, 4), 9)];
    expect(placePrompt(ask(tokens(40, 9)), state({ free: slots })).slot).toBe(1);
  });

  test("of nothing known joins those that run, in a gap before at an end, and an empty slot before a used one", () => {
    const empty = new Uint32Array();
    const slots = [
      free(0, empty),
      free(2, tokens(50)),
      free(4, empty),
      free(5, empty),
      free(6, tokens(60, 2)),
      free(8, empty),
    ];
    const at = (taken: number[]) => placePrompt(ask(tokens(40, 9)), state({ free: slots, taken: new Set(taken) })).slot;
    expect(at([1, 3])).toBe(2);
    expect(at([3, 7])).toBe(4);
    expect(at([1, 7])).toBe(0);
    expect(at([])).toBe(0);
  });

  test("goes on in the slot that holds its beginning", () => {
    const chat = tokens(100);
    const slots = [free(0, tokens(100, 2)), free(1, chat), free(2, new Uint32Array())];
    expect(placePrompt(ask(extended(chat, 20)), state({ free: slots }))).toEqual({
      slot: 1,
      reused: 100,
      source: { kind: "slot" },
    });
  });

  test("copies from a slot that holds mostly something else", () => {
    const system = tokens(100);
    const slots = [free(0, extended(system, 500, 3)), free(1, new Uint32Array())];
    expect(placePrompt(ask(extended(system, 20)), state({ free: slots }))).toEqual({
      slot: 1,
      reused: 100,
      source: { kind: "free", slot: 0 },
    });
  });

  test("computes what a copy would cost more for", () => {
    const system = tokens(100);
    const slots = [free(0, extended(system, 500, 3)), free(1, new Uint32Array())];
    const asked: [number, number][] = [];
    const worthCopying = (saved: number, size: number): boolean => {
      asked.push([saved, size]);
      return false;
    };
    const placed = placePrompt(ask(extended(system, 20)), state({ free: slots, worthCopying }));
    expect(placed).toEqual({ slot: 1, reused: 0, source: { kind: "none" } });
    expect(asked).toEqual([[100, 600]]);
  });

  test("prefers a saved state, then a free slot, then a running sequence of the same use", () => {
    const chat = tokens(300);
    const prompt = ask(extended(chat, 20));
    const saved = [{ id: 8, tokens: chat, salt: "a" }];
    const long = free(1, extended(chat, 900, 3));
    const running = [busy(2, extended(chat, 40, 4))];
    const empty = free(0, new Uint32Array());
    const source = (given: Partial<PrefixState>) => placePrompt(prompt, state(given)).source;
    expect(source({ free: [empty, long], busy: running, saved })).toEqual({ kind: "saved", id: 8 });
    expect(source({ free: [empty, long], busy: running })).toEqual({ kind: "free", slot: 1 });
    expect(source({ free: [empty], busy: running })).toEqual({ kind: "busy", slot: 2 });
  });

  test("waits for a sequence that will have its beginning", () => {
    const shared = tokens(1000);
    const placed = placePrompt(ask(extended(shared, 9)), state({ busy: [busy(5, extended(shared, 7, 3), 0)] }));
    expect(placed).toEqual({ slot: 0, reused: 1000, source: { kind: "busy", slot: 5 } });
  });

  test("that is short does not wait for a long one, and takes what that has", () => {
    const shared = tokens(100);
    const long = (held: number) => state({ busy: [busy(5, extended(shared, 3000, 3), held)] });
    const short = ask(extended(shared, 9));
    expect(placePrompt(short, long(0)).source).toEqual({ kind: "none" });
    expect(placePrompt(short, long(60))).toMatchObject({ reused: 60, source: { kind: "busy", slot: 5 } });
  });

  test("always computes its last token", () => {
    const prompt = tokens(80);
    expect(placePrompt(ask(prompt), state({ free: [free(0, extended(prompt, 50))] })).reused).toBe(79);
  });

  test("reuses nothing of another salt, or when it must not", () => {
    const chat = tokens(300);
    const everywhere = state({
      free: [free(0, chat)],
      busy: [busy(1, chat)],
      saved: [{ id: 1, tokens: chat, salt: "a" }],
    });
    expect(placePrompt({ tokens: extended(chat, 5), salt: "b", reuse: true }, everywhere).reused).toBe(0);
    expect(placePrompt({ tokens: extended(chat, 5), salt: "a", reuse: false }, everywhere).reused).toBe(0);
  });
});
