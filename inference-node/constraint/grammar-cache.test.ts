// A grammar is made once while it is in use, and the memory for them is bounded.
import { expect, test } from "vitest";
import { GrammarCache } from "./grammar-cache.ts";

function watched(limits: { entries: number; chars: number }) {
  const cache = new GrammarCache(limits);
  const made: string[] = [];
  const get = (key: string, length = 1): string =>
    cache.get(key, () => {
      made.push(key);
      return key.repeat(length);
    });
  return { get, made };
}

test("a grammar is made once, and the least recently used one goes", () => {
  const { get, made } = watched({ entries: 2, chars: 1_000 });
  expect([get("a"), get("b"), get("a"), get("c"), get("a"), get("b")]).toEqual(["a", "b", "a", "c", "a", "b"]);
  expect(made).toEqual(["a", "b", "c", "b"]);
});

test("keys and grammars together stay within their bound, and one that alone is above it is not kept", () => {
  const { get, made } = watched({ entries: 100, chars: 20 });
  for (const key of ["a", "b", "a", "c"]) get(key, 8);
  expect(made).toEqual(["a", "b", "c"]);
  get("b", 8);
  expect(made).toEqual(["a", "b", "c", "b"]);
  expect(get("d", 50)).toHaveLength(50);
  get("d", 50);
  expect(made.slice(4)).toEqual(["d", "d"]);
});

test("what could not be made is tried again", () => {
  const cache = new GrammarCache();
  const fail = (): string => {
    throw new Error("refused");
  };
  expect(() => cache.get("a", fail)).toThrow("refused");
  expect(cache.get("a", () => "made")).toBe("made");
});
