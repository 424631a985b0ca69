// When a grammar holds a sequence: from the first token, or behind a text, and what must not be drawn meanwhile.
import { describe, expect, test } from "vitest";
import type { Addon } from "./addon.ts";
import type { Engine } from "./engine.ts";
import { GrammarGate } from "./grammar-gate.ts";
import type { GrammarOptions } from "./protocol.ts";

const end = 0;
const control = 1;
const shown = 2;

/** Grammars are the texts themselves; a state is what is left of one. A token is a byte. */
function engineOf(refused: string[] = []): Engine {
  const left = (state: object): string => (state as { left: string }).left;
  const grammars = {
    begin: (gbnf: string) => {
      if (refused.includes(gbnf)) throw new Error("refused");
      return { left: gbnf };
    },
    mayBeNext: (state: object, token: number) =>
      token === end ? left(state) === "" : left(state).startsWith(String.fromCharCode(token)),
    accept: (state: { left: string }) => {
      state.left = state.left.slice(1);
    },
  };
  const model = { tokenize: (text: string) => Uint32Array.from(text, (char) => char.charCodeAt(0)) };
  return {
    addon: { grammars, model } as unknown as Addon,
    vocabulary: {
      silentTokens: () => [control, shown],
      controlText: (token: number) => (token === shown ? "<shown>" : "<control>"),
      tokensBeginning: (from: number, to: number) => [from, to],
    },
    endOfGenerationTokens: [end],
  } as unknown as Engine;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function gateOf(options: GrammarOptions, visible: string[] = []): GrammarGate {
  return new GrammarGate(engineOf(), options, visible);
}

describe("a grammar without a beginning", () => {
  test("holds from the first token, and keeps control tokens out but those that are shown", () => {
    expect(gateOf({ gbnf: "x" }).sampling).toEqual({ state: { left: "x" }, banned: [control, shown] });
    const gate = gateOf({ gbnf: "x" }, ["<shown>"]);
    expect(gate.sampling.banned).toEqual([control]);
    expect([gate.holding, gate.isBanned(control), gate.isBanned(shown)]).toEqual([true, true, false]);
  });

  test("lets the text end where the grammar does", () => {
    expect(gateOf({ gbnf: "x" }).mayEnd()).toBe(false);
    expect(gateOf({ gbnf: "" }).mayEnd()).toBe(true);
  });
});

describe("a grammar behind a text", () => {
  test("begins when the text is whole, however it was cut", () => {
    const gate = gateOf({ gbnf: "x", after: "</think>" });
    for (const piece of ["I th", "ink </t", "hink", "<", "/think"]) {
      expect(gate.push(bytes(piece), false)).toBeUndefined();
      expect([gate.holding, gate.takeChange(), gate.sampling.state]).toEqual([false, false, undefined]);
    }
    gate.push(bytes(">"), false);
    expect([gate.holding, gate.takeChange(), gate.takeChange()]).toEqual([true, true, false]);
    expect(gate.sampling).toEqual({ state: { left: "x" }, banned: [control, shown] });
  });

  test("keeps the generation from ending before it, unless it may", () => {
    expect(gateOf({ gbnf: "x", after: "y" }).sampling).toEqual({ state: undefined, banned: [end] });
    expect(gateOf({ gbnf: "x", after: "y", mayEndBefore: true }).sampling.banned).toEqual([]);
  });

  test("takes what came behind the text in one token, and what was forced, as its own; space is nobody's", () => {
    const gate = gateOf({ gbnf: "abc", after: "!" });
    expect(gate.push(bytes("!a"), false)).toBeUndefined();
    expect(gate.sampling.state).toEqual({ left: "bc" });
    expect(gate.push(bytes("\n\n"), true)).toBeUndefined();
    expect(gate.push(bytes("b"), true)).toBeUndefined();
    expect(gate.sampling.state).toEqual({ left: "c" });
    // What the sampler drew has moved the state on by itself.
    gate.push(bytes("c"), false);
    expect(gate.sampling.state).toEqual({ left: "c" });
    expect(gate.push(bytes("z"), true)).toContain("not in the grammar");
  });
});

describe("a grammar behind a thought that the model may open or not", () => {
  const options = { gbnf: "x", after: "</t>", opening: { text: "<t>", gbnf: "<t>|x" } };

  test("waits for the thought's end when there is one", () => {
    const gate = gateOf(options);
    expect(gate.sampling.state).toEqual({ left: "<t>|x" });
    gate.push(bytes("<"), false);
    gate.push(bytes("t>"), false);
    expect([gate.takeChange(), gate.sampling.state, gate.holding]).toEqual([true, undefined, false]);
    gate.push(bytes("thought</t>"), false);
    expect([gate.takeChange(), gate.sampling.state]).toEqual([true, { left: "x" }]);
  });

  test("holds on by the same state when there is none", () => {
    const gate = gateOf(options);
    gate.push(bytes("x"), false);
    expect([gate.holding, gate.takeChange(), gate.sampling.state]).toEqual([true, false, { left: "<t>|x" }]);
    gate.push(bytes("</t>"), false);
    expect(gate.takeChange()).toBe(false);
  });
});

test("a grammar that the engine does not take is known at once, also behind a thought", () => {
  const options = { gbnf: "bad", after: "y" };
  expect(() => new GrammarGate(engineOf(["bad"]), options, [])).toThrow("refused");
});

test("the second byte of a character that was begun is kept from making it longer than it need be", () => {
  const gate = gateOf({ gbnf: "x" });
  gate.push(Uint8Array.of(0x61, 0xe0), false);
  expect([gate.takeChange(), gate.sampling.banned]).toEqual([true, [control, shown, 0x80, 0x9f]]);
  gate.push(Uint8Array.of(0xb8), false);
  expect([gate.takeChange(), gate.sampling.banned]).toEqual([true, [control, shown]]);
  gate.push(Uint8Array.of(0xf0), false);
  expect(gate.sampling.banned).toEqual([control, shown, 0x80, 0x8f]);
});
