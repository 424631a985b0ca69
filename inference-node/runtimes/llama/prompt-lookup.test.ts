// Guesses from what was said before.
import { expect, test } from "vitest";
import { PromptLookup } from "./prompt-lookup.ts";

const guess = (tokens: readonly number[], max = 4): number[] => [...new PromptLookup(tokens).guess(max)];

test("what followed the last three tokens before is guessed again", () => {
  expect(guess([1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3])).toEqual([4, 5, 6, 7]);
});

test("the latest occurrence counts", () => {
  expect(guess([1, 2, 3, 4, 1, 2, 3, 8, 9, 1, 2, 3], 2)).toEqual([8, 9]);
});

test("no more is guessed than was said since", () => {
  expect(guess([1, 1, 1, 1])).toEqual([1]);
  expect(guess([5, 1, 2, 3, 1, 2, 3])).toEqual([1, 2, 3]);
});

test.each([[[]], [[1]], [[1, 2, 3]], [[1, 2, 3, 4, 5]], [[2, 3, 4, 1, 2, 3]]])(
  "nothing is guessed from %j",
  (tokens) => {
    expect(guess(tokens)).toEqual([]);
  },
);
