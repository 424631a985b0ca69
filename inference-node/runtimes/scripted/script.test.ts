// A message is a script when it looks like one, and is echoed otherwise; tokens turn back into their text.
import { describe, expect, it } from "vitest";
import { Code } from "../../node-error.ts";
import { embeddingOf } from "./embedding.ts";
import { parseScript } from "./script.ts";
import { tokenize, tokenText } from "./tokenizer.ts";

const parse = (script: unknown): ReturnType<typeof parseScript> => parseScript(JSON.stringify(script), "p");

describe("a message", () => {
  it.each(["Hello", "", "{", "[1]", "42", '{"a": 1}', "{}", "null"])("that is no script is echoed: %j", (message) => {
    expect(parseScript(message, "p")).toMatchObject({ text: message, fail: undefined, chunks: undefined });
  });

  it("may have space around its script", () => {
    expect(parseScript(' \n{"text": "x"}\n', "p").text).toBe("x");
  });

  it("with echo gives itself back before the text", () => {
    expect(parseScript('{"echo":true}', "p").text).toBe('{"echo":true}');
    expect(parseScript('{"echo":true,"text":"!"}', "p").text).toBe('{"echo":true,"text":"!"}!');
  });

  it("that says nothing counts as far as it is to stream", () => {
    expect(parse({ chunks: 3 }).text).toBe("1 2 3");
    expect(parse({ fail_after: 2 }).text).toBe("1 2");
    expect(parse({ reasoning: "x" }).text).toBe("");
    expect(parse({ delay_ms: 1 }).text).toBe('{"delay_ms":1}');
    expect(parse({ text: "" }).text).toBe("");
  });
});

describe("a failure", () => {
  it.each([
    ["UNAVAILABLE", Code.UNAVAILABLE],
    ["resource_exhausted", Code.RESOURCE_EXHAUSTED],
    ["overloaded", Code.RESOURCE_EXHAUSTED],
    ["invalid_request", Code.INVALID_ARGUMENT],
    ["context_length_exceeded", Code.OUT_OF_RANGE],
    ["unsupported_parameter", Code.UNIMPLEMENTED],
    ["not_found", Code.NOT_FOUND],
    ["deadline_exceeded", Code.DEADLINE_EXCEEDED],
    ["canceled", Code.CANCELLED],
    ["internal", Code.INTERNAL],
    ["PERMISSION_DENIED", Code.PERMISSION_DENIED],
    ["DATA_LOSS", Code.DATA_LOSS],
    ["Unauthenticated", Code.UNAUTHENTICATED],
    ["aborted", Code.ABORTED],
    ["unknown", Code.UNKNOWN],
    ["failed_precondition", Code.FAILED_PRECONDITION],
  ])("may be called %s", (fail, code) => {
    expect(parse({ fail }).fail?.code).toBe(code);
  });

  it("of a context that overflows claims no numbers that nobody counted", () => {
    expect(parse({ fail: "context_length_exceeded" }).fail?.metadata).toEqual({});
  });

  it("without a code is the death of an engine", () => {
    expect(parse({ fail_after: 1 })).toMatchObject({ failAfter: 1, fail: { code: Code.UNAVAILABLE } });
    expect(parse({ fail: "overloaded", retry_after_ms: 5 }).fail?.retryAfterMs).toBe(5);
  });
});

describe("a token", () => {
  it.each(["Hello there", "naïve café", "你好，世界", "👩‍👩‍👧‍👦!", "\ufeffx", "a\0b", "\n\n  x\t", ""])(
    "turns back into its text: %j",
    (text) => {
      expect(
        tokenize(text)
          .map((id) => tokenText(id, "ids"))
          .join(""),
      ).toBe(text);
    },
  );

  it("has at most four bytes and begins at white space", () => {
    expect(tokenize("Hello there")).toHaveLength(4);
    expect(tokenize("a b c")).toHaveLength(3);
    expect(
      tokenize("\ud800x")
        .map((id) => tokenText(id, "ids"))
        .join(""),
    ).toBe("\ufffdx");
  });
});

describe("an embedding", () => {
  it("has length 1 at any number of dimensions and differs by text", () => {
    for (const dimensions of [1, 7, 8, 384]) {
      const vector = embeddingOf(tokenize("x"), dimensions);
      expect(vector).toHaveLength(dimensions);
      expect(Math.hypot(...vector)).toBeCloseTo(1);
    }
    expect(embeddingOf(tokenize("x"), 8)).not.toEqual(embeddingOf(tokenize("y"), 8));
  });
});
