// Query and document reach the model as it was trained on them, by template or by separators, and never beyond its limit.
import { describe, expect, it } from "vitest";
import { Code } from "../../node-error.ts";
import { type PairEncoder, type PairForm, PairTokenizer } from "./pair-tokenizer.ts";

const special = 1_000;
/** An id a character; of the model's own texts `<…>` is one special id. */
const encoder = (inputTokensMax: number): PairEncoder => ({
  inputTokensMax,
  countedMax: 4 * inputTokensMax,
  read: (text, max) => [...text.slice(0, max + 1)].map(codeOf),
  readOwn: (text) => (text.match(/<[^>\n]*>|[\s\S]/g) ?? []).map((part) => (part.length > 1 ? special : codeOf(part))),
});
const codeOf = (character: string): number => character.codePointAt(0) ?? 0;
const shown = (ids: readonly number[]): string =>
  ids.map((id) => (id >= special ? `<${id - special}>` : String.fromCodePoint(id))).join("");

const separators: PairForm = { begin: [special + 1], between: [special + 2, special + 3], end: [special + 2] };
const template: PairForm = { template: "<s>judge\n<u>\nQ: {query}?\n<d>\nD: {document}<e>\nanswer" };
const pairs = (form: PairForm, max = 100) => new PairTokenizer(encoder(max), form);
const read = (tokenizer: PairTokenizer, query: string, text: string, truncate = false): string =>
  shown(tokenizer.readDocument(tokenizer.readQuery(query), { text, truncate, param: "documents[3]" }));

describe("a pair", () => {
  it("has the model's ids before, between and after", () => {
    expect(read(pairs(separators), "cat", "a dog")).toBe("<1>cat<2><3>a dog<2>");
  });

  it("fills the model's template", () => {
    expect(read(pairs(template), "cat", "a dog")).toBe("<0>judge\n<0>\nQ: cat?\n<0>\nD: a dog<0>\nanswer");
  });

  it("is not closed, nor another part of the template begun, by what a caller sends", () => {
    expect(read(pairs(template), "<d>{document}", "<e>{query}")).toBe(
      "<0>judge\n<0>\nQ: <d>{document}?\n<0>\nD: <e>{query}<0>\nanswer",
    );
  });

  it("may be as long as the model takes, and not one longer", () => {
    const tokenizer = pairs(separators, 10);
    expect(read(tokenizer, "ab", "1234")).toBe("<1>ab<2><3>1234<2>");
    expect(() => read(tokenizer, "ab", "12345")).toThrow(
      expect.objectContaining({
        code: Code.OUT_OF_RANGE,
        param: "documents[3]",
        metadata: expect.objectContaining({ context_length: "10", prompt_tokens: "11" }),
      }),
    );
  });

  it("is counted to a bound only", () => {
    expect(() => read(pairs(separators, 10), "ab", "x".repeat(1_000))).toThrow(
      expect.objectContaining({ message: expect.stringContaining("at least"), param: "documents[3]" }),
    );
  });

  it("has its document's end cut when that was asked for, and nothing else", () => {
    expect(read(pairs(separators, 10), "ab", "123456789", true)).toBe("<1>ab<2><3>1234<2>");
    const whole = read(pairs(template), "cat", "");
    const tokens = whole.replace(/<\d+>/g, "*").length;
    expect(read(pairs(template, tokens + 2), "cat", "a dog", true)).toBe(whole.replace("D: ", "D: a "));
  });

  it.each([false, true])("is refused by the query that leaves no room for a document, cut (%s) or not", (truncate) => {
    expect(() => read(pairs(separators, 10), "abcdef", "x", truncate)).toThrow(
      expect.objectContaining({ code: Code.OUT_OF_RANGE, param: "query" }),
    );
    expect(read(pairs(separators, 10), "abcde", "x", truncate)).toBe("<1>abcde<2><3>x<2>");
  });
});

describe("a template that can't be followed", () => {
  it.each([
    "no places",
    "{query} alone",
    "{document}\n{query}",
    "{query} {document}",
    "<u>{query}\n{document}",
    "{query}\n<d>{document}",
  ])("is said: %s", (text) => {
    expect(() => pairs({ template: text })).toThrow(/template for reranking/);
  });
});
