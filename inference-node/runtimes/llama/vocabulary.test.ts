// Token bytes by vocabulary type: byte-level, SentencePiece, and what neither spelling explains.
import { describe, expect, it } from "vitest";
import type { AddonModel } from "./addon.ts";
import { byteLevelBytes, Vocabulary } from "./vocabulary.ts";

interface FakeToken {
  text: string;
  attributes?: number;
  /** What the engine writes for it; the text when absent. */
  written?: string;
}

const normal = 4;
const control = 8;
const userDefined = 16;
const byte = 32;

function fakeModel(tokens: FakeToken[]): AddonModel {
  return {
    tokenize: () => new Uint32Array(),
    detokenize: (ids) => [...ids].map((id) => tokens[id]?.written ?? tokens[id]?.text ?? "").join(""),
    getTokenString: (id) => tokens[id]?.text ?? "",
    getTokenAttributes: (id) => tokens[id]?.attributes ?? normal,
    isEogToken: () => false,
  };
}

const vocabulary = (type: string, tokens: FakeToken[]) => new Vocabulary(fakeModel(tokens), tokens.length, type);
const utf8 = (text: string) => new TextEncoder().encode(text);

describe("byte-level tokens", () => {
  it("stand for every byte once", () => {
    const seen = new Set<number>();
    for (let code = 0; code < 0x180; code++) {
      const bytes = byteLevelBytes(String.fromCodePoint(code));
      if (bytes.length === 1) seen.add(bytes[0] as number);
    }
    expect(seen.size).toBe(256);
  });

  it("spell spaces, line ends and halves of characters", () => {
    expect(byteLevelBytes("Ġthe")).toEqual(utf8(" the"));
    expect(byteLevelBytes("Ċ")).toEqual(utf8("\n"));
    expect(byteLevelBytes("ðŁĳ")).toEqual(Uint8Array.of(0xf0, 0x9f, 0x91));
  });

  it("are bytes of the output, control tokens none", () => {
    const words = vocabulary("bpe", [
      { text: "Ġhello", written: " hello" },
      { text: "<|im_end|>", attributes: control, written: "" },
      { text: "Ã", written: "\uFFFD" },
    ]);
    expect(words.bytes(0)).toEqual(utf8(" hello"));
    expect(words.bytes(1)).toEqual(new Uint8Array());
    expect(words.bytes(2)).toEqual(Uint8Array.of(0xc3));
  });
});

describe("SentencePiece tokens", () => {
  it("spell spaces and single bytes", () => {
    const words = vocabulary("spm", [
      { text: "▁hello", written: "hello" },
      { text: "<0xE4>", attributes: byte, written: "\uFFFD" },
      { text: "<0xE4>", attributes: normal },
    ]);
    expect(words.bytes(0)).toEqual(utf8(" hello"));
    expect(words.bytes(1)).toEqual(Uint8Array.of(0xe4));
    expect(words.bytes(2)).toEqual(utf8("<0xE4>"));
  });
});

describe("a vocabulary whose spelling is another than its type suggests", () => {
  it("is written as the engine writes it", () => {
    const words = vocabulary("bpe", [{ text: "▁hello", written: " hello" }]);
    expect(words.bytes(0)).toEqual(utf8(" hello"));
  });
});

describe("facts about all tokens", () => {
  it("lists control-token texts of more than one character, and the longest token", () => {
    const words = vocabulary("bpe", [
      { text: "<|im_start|>", attributes: control, written: "" },
      { text: "!", attributes: control, written: "" },
      { text: "abc" },
    ]);
    expect(words.controlTokenTexts()).toEqual(["<|im_start|>"]);
    expect(words.longestTokenBytes()).toBe(12);
  });

  it("lists the texts that are found first, and those that reach over white space", () => {
    const words = vocabulary("bpe", [
      { text: "<|im_start|>", attributes: control, written: "" },
      { text: "<think>", attributes: userDefined },
      { text: "Ġthe", written: " the" },
      { text: "ofĠthe", written: "of the" },
      { text: ".Ċ", written: ".\n" },
      { text: "³Ġa", written: "\uFFFD a" },
    ]);
    expect(words.indivisibleTexts()).toEqual(["<|im_start|>", "<think>"]);
    expect([...words.textsWithSpace()]).toEqual(["of the", ".\n", "\uFFFD a"]);
  });

  it("lists the tokens that add nothing, and those that begin with certain bytes", () => {
    const words = vocabulary("bpe", [
      { text: "<|im_start|>", attributes: control, written: "" },
      { text: "abc" },
      { text: "¸", written: "\uFFFD" },
      { text: "à¸", written: "\uFFFD" },
    ]);
    expect(words.silentTokens()).toEqual([0]);
    expect(words.tokensBeginning(0x80, 0xbf)).toEqual([2]);
    expect(words.tokensBeginning(0x61, 0xe0)).toEqual([1, 2, 3]);
  });
});
