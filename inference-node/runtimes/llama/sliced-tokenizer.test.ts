// Long texts are tokenised in slices: to the same tokens, with pauses between, and no longer than anybody wants them.
import { beforeEach, expect, test } from "vitest";
import type { AddonModel } from "./addon.ts";
import { SlicedTokenizer, type SlicedTokenizerOptions, sliceChars } from "./sliced-tokenizer.ts";

/** What the model was asked to tokenise, probes left out. */
let asked: string[];
let pauses: number;

/** Tokens are the matches of a pattern, as those of a byte-level vocabulary are within its pretokenizer's. */
function wordModel(pattern: RegExp, prefix = ""): AddonModel {
  const ids = new Map<string, number>();
  const idOf = (text: string): number => ids.get(text) ?? (ids.set(text, ids.size).get(text) as number);
  return {
    tokenize: (text: string) => {
      asked.push(text);
      return Uint32Array.from(`${prefix}${text}`.match(pattern) ?? [], idOf);
    },
    detokenize: (tokens: Uint32Array) => [...tokens].map((id) => [...ids.keys()][id]).join(""),
  } as unknown as AddonModel;
}

const words = / ?\p{L}+|\s+|[^\s\p{L}]+/gu;
const never = new AbortController().signal;

function tokenizer(options: Partial<SlicedTokenizerOptions> = {}): SlicedTokenizer {
  const made = new SlicedTokenizer({
    model: wordModel(words),
    textsWithSpace: [],
    indivisible: [],
    pause: async () => {
      pauses += 1;
    },
    ...options,
  });
  asked = [];
  return made;
}

async function tokensOf(made: SlicedTokenizer, texts: readonly string[]): Promise<number[]> {
  const parts = await made.tokenize(texts, false, { onCount: () => undefined, signal: never });
  return parts.flatMap((part) => [...part]);
}

beforeEach(() => {
  asked = [];
  pauses = 0;
});

const prose = "The fox jumps, and then it sleeps.\n\n  It dreams of   old maps.\n".repeat(500);

test("a long text has the tokens of the whole, and a pause between slices", async () => {
  const model = wordModel(words);
  const whole = [...model.tokenize(prose, false)];
  const made = tokenizer({ model });
  expect(await tokensOf(made, [prose])).toEqual(whole);
  expect(asked.join("")).toBe(prose);
  expect(Math.max(...asked.map((slice) => slice.length))).toBeLessThanOrEqual(sliceChars);
  expect(pauses).toBe(asked.length - 1);
});

test("a text of one slice is done at once, without a turn of its own", async () => {
  await tokensOf(tokenizer(), [prose.slice(0, sliceChars)]);
  expect([asked.length, pauses]).toEqual([1, 0]);
});

test("thousands of short texts are paused between as one long one is", async () => {
  const texts = new Array(1_000).fill("<a");
  await tokensOf(tokenizer(), texts);
  expect(asked).toEqual(texts);
  expect(pauses).toBeGreaterThan(10);
});

test.each([
  ["a token reaches from a letter over a space", { textsWithSpace: ["of the"] }],
  ["a token begins within a letter", { textsWithSpace: ["\uFFFD a"] }],
  ["a control token does", { indivisible: ["<end of text>"] }],
])("a vocabulary is given texts whole at spaces when %s", async (_name, options) => {
  const made = tokenizer(options);
  await tokensOf(made, ["word ".repeat(2_000)]);
  expect(asked).toHaveLength(1);
});

test.each([
  ["puts a space in front of every text", wordModel(words, " ")],
  ["keeps a word and the space behind it together", wordModel(/\p{L}+\s*|\s+|[^\s\p{L}]+/gu)],
])("a vocabulary that %s is given texts whole", async (_name, model) => {
  const made = tokenizer({ model });
  await tokensOf(made, [prose]);
  expect(asked).toEqual([prose]);
});

test("a text without a border is cut, but in no character and in no text that is one token", async () => {
  for (let shift = 0; shift < 12; shift++) {
    const made = tokenizer({ indivisible: ["<|end|>"] });
    const text = `${"x".repeat(sliceChars - shift)}<|end|>${"9".repeat(sliceChars - shift)}${"👋".repeat(sliceChars)}`;
    await tokensOf(made, [text]);
    expect(asked.join("")).toBe(text);
    expect(asked.filter((slice) => slice.includes("<|end|>"))).toHaveLength(1);
    expect(asked.every((slice) => slice.isWellFormed())).toBe(true);
    expect(Math.max(...asked.map((slice) => slice.length))).toBeLessThanOrEqual(sliceChars);
  }
});

test("Chinese without spaces is cut before its punctuation", async () => {
  const made = tokenizer();
  await tokensOf(made, ["我们在海边发现了一张藏宝图，狗就睡着了。".repeat(300)]);
  expect(asked.length).toBeGreaterThan(2);
  for (const slice of asked.slice(1)) expect(slice).toMatch(/^[，。]/);
});

test("counting ends where the caller's limit throws", async () => {
  const made = tokenizer();
  const onCount = (tokens: number): void => {
    if (tokens > 1_000) throw new RangeError("enough");
  };
  await expect(made.tokenize([prose], false, { onCount, signal: never })).rejects.toThrow("enough");
  const slicesBefore = asked.length;
  expect(slicesBefore).toBeLessThan(6);
  await tokensOf(made, [prose]);
  expect(asked.length).toBeGreaterThan(slicesBefore);
});

test("long texts are done one after the other, and a short one goes ahead of them", async () => {
  const made = tokenizer();
  const done: string[] = [];
  const text = (letter: string, length: number) => `${letter} `.repeat(length / 2);
  const run = (letter: string, length: number) =>
    tokensOf(made, [text(letter, length)]).then(() => void done.push(letter));
  await Promise.all([run("a", 20_000), run("b", 8_000), run("c", 200)]);
  expect(done).toEqual(["c", "a", "b"]);
});

test("what nobody waits for any more is not done, and the next in line goes on", async () => {
  const caller = new AbortController();
  const made = tokenizer({
    pause: async () => {
      if (asked.length === 4) caller.abort(new Error("gone"));
    },
  });
  const given = made.tokenize([prose], false, { onCount: () => undefined, signal: caller.signal });
  const next = tokensOf(made, ["next ".repeat(2_000)]);
  await expect(given).rejects.toThrow("gone");
  expect(asked.filter((slice) => !slice.includes("next")).length).toBeLessThan(6);
  expect((await next).length).toBeGreaterThan(2_000);
});
