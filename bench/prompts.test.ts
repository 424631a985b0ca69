// Prompts have the wanted length and no common beginning.
import { describe, expect, it } from "vitest";
import { makePrompt, wordsForTokens } from "./prompts.ts";

const wordsOf = (prompt: string): string[] => prompt.split("\n")[0]?.split(" ") ?? [];

describe("makePrompt", () => {
  it("makes the same prompt again from the same seed and number", () => {
    const options = { seed: 7, wordCount: 40, sharedWords: 0 };
    expect(makePrompt(options, 3)).toBe(makePrompt(options, 3));
  });

  it("makes prompts that share hardly a beginning, so that no prefix cache helps", () => {
    const prompts = Array.from({ length: 3000 }, (_, ordinal) =>
      makePrompt({ seed: 1, wordCount: 100, sharedWords: 0 }, ordinal),
    );
    const beginnings = new Set(prompts.map((prompt) => wordsOf(prompt).slice(0, 6).join(" ")));
    expect(beginnings.size).toBe(3000);
  });

  it("makes other prompts from another seed", () => {
    const first = makePrompt({ seed: 1, wordCount: 100, sharedWords: 0 }, 0);
    expect(makePrompt({ seed: 2, wordCount: 100, sharedWords: 0 }, 0)).not.toBe(first);
  });

  it("has as many words as asked", () => {
    expect(wordsOf(makePrompt({ seed: 1, wordCount: 57, sharedWords: 20 }, 1))).toHaveLength(57);
  });

  it("begins with exactly the shared words when some are wanted", () => {
    const options = { seed: 5, wordCount: 60, sharedWords: 40 };
    const [first, second] = [wordsOf(makePrompt(options, 1)), wordsOf(makePrompt(options, 2))];
    expect(first.slice(0, 40)).toEqual(second.slice(0, 40));
    expect(first.slice(40)).not.toEqual(second.slice(40));
  });

  it("shares nothing with the prompts of another group", () => {
    const options = { seed: 5, wordCount: 60, sharedWords: 40 };
    const beginnings = Array.from({ length: 1000 }, (_, group) => wordsOf(makePrompt(options, 1, group)).slice(0, 6));
    expect(new Set(beginnings.map((beginning) => beginning.join(" "))).size).toBe(1000);
  });
});

describe("wordsForTokens", () => {
  it("makes room for what the template and the request add", () => {
    expect(wordsForTokens(128, 32, 72)).toBe(88);
  });
  it("leaves a word when the template alone is longer", () => {
    expect(wordsForTokens(16, 32, 72)).toBe(1);
  });
});
