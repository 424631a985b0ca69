// WordPiece, id for id, against what Hugging Face's tokenizers made of the same texts with the same vocabulary.
import { readFileSync } from "node:fs";
import { readGgufFileInfo } from "node-llama-cpp";
import { beforeAll, expect, test } from "vitest";
import { DEFAULT_EMBEDDING_MODEL } from "../../inference-node/model-source/catalogue.ts";
import { resolveModel } from "../../inference-node/model-source/resolve.ts";
import { WordPiece, wordPieceVocabulary } from "../../inference-node/runtimes/llama/wordpiece.ts";

/** Made by tokenizers 0.23.3 from the model's own tokenizer.json, without special tokens. */
const reference = JSON.parse(
  readFileSync(new URL("./fixtures/wordpiece-reference.json", import.meta.url), "utf8"),
) as readonly { text: string; ids: number[] }[];

let wordPiece: WordPiece;

beforeAll(async () => {
  const { path } = await resolveModel(DEFAULT_EMBEDDING_MODEL);
  const { metadata } = await readGgufFileInfo(path, { logWarnings: false });
  wordPiece = new WordPiece(wordPieceVocabulary(metadata.tokenizer?.ggml?.tokens ?? [], undefined));
});

test.each(reference)("$text", ({ text, ids }) => {
  expect(wordPiece.encode(text)).toEqual(ids);
});

test("all of them in one long text come out as one after the other", () => {
  const texts = new Array<typeof reference>(20).fill(reference).flat();
  const long = texts.map(({ text }) => text).join("\n");
  expect(long.length).toBeGreaterThan(3 * 4_096);
  expect(wordPiece.encode(long)).toEqual(texts.flatMap(({ ids }) => ids));
});

test("a beginning that is asked for is the beginning of the whole", () => {
  const text = "The quick brown fox, unbelievably, jumps. ".repeat(1_000);
  const beginning = wordPiece.encode(text, { max: 300 });
  expect(beginning.length).toBeGreaterThanOrEqual(300);
  expect(beginning.length).toBeLessThan(310);
  expect(wordPiece.encode(text).slice(0, beginning.length)).toEqual(beginning);
});

test("special tokens in a text are text unless asked for", () => {
  expect(wordPiece.encode("a [SEP] b")).not.toContain(102);
  expect(wordPiece.encode("a [SEP] b", { specialTokens: true })).toEqual([1037, 102, 1038]);
});

test("halves of surrogate pairs are characters that do not exist", () => {
  expect(wordPiece.encode("dog \ud800 cat \udfff")).toEqual(wordPiece.encode("dog cat"));
});
