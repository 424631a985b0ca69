// Expressions that are refused: by what they use and where, and by what they would cost.
import { describe, expect, test } from "vitest";
import { Code } from "../node-error.ts";
import { processorMs, refusalOf, textGrammar } from "./testing/compiled.ts";

/** It takes a tenth of this on a machine of today. */
const processorMsMax = 2_000;

function refusal(source: string) {
  return refusalOf(() => textGrammar("regex", source));
}

test.each([
  ["a(?=b)", "lookahead", 1],
  ["a(?!b)", "negative lookahead", 1],
  ["(?<=a)b", "lookbehind", 0],
  ["(?<!a)b", "negative lookbehind", 0],
  ["(a)\\1", "backreferences", 3],
  ["(?<n>a)\\k<n>", "backreferences", 7],
  ["(?P<n>a)(?P=n)", "backreferences", 8],
  ["a\\b", "word boundaries", 1],
  ["a++", "possessive quantifiers", 1],
  ["(?>a)", "atomic groups", 0],
  ["(?i)a", "flags inside an expression", 0],
  ["(?i:a)", "flags inside an expression", 0],
  ["ab\\q", "the escape \\q", 2],
  ["\\0", "the escape \\0", 0],
])("what is not regular, or not here, is named with its place: %s", (source, name, position) => {
  const { code, param, message } = refusal(source);
  expect([code, param]).toEqual([Code.INVALID_ARGUMENT, "constraint.regex"]);
  expect(message).toContain(name);
  expect(message).toContain(`position ${position}`);
});

test.each([
  "(",
  ")",
  "a)",
  "[",
  "[a",
  "[]",
  "[z-a]",
  "[^\\s\\S]",
  "*",
  "a**",
  "(?<>a)",
  "a{3,2}",
  "\\",
  "a|*",
  "{2}",
  "\\p{Nope}",
  "^*",
  "\ud800",
  "x^y",
  "a$b",
])("what is malformed, or matches nothing, is refused: %j", (source) => {
  expect(refusal(source)).toMatchObject({ code: Code.INVALID_ARGUMENT, param: "constraint.regex" });
});

describe("an expression made to explode", () => {
  test.each([
    ["a megabyte", "a".repeat(1_000_000)],
    ["a count", "a{1000000}"],
    ["counts in counts", "((a{1,100}){1,100}){1,100}"],
    ["the last but twenty", "[ab]*a[ab]{20}"],
    ["options without number", `(${"a?".repeat(4000)})${"a".repeat(4000)}`],
    ["groups in groups", "(".repeat(5000) + ")".repeat(5000)],
    ["many properties", Array.from("LMNPSZ", (name) => `[\\p{${name}}\\P{${name}u}]{500}`).join("|")],
    ["properties counted", "(\\p{L}|\\p{N}|\\p{P}|\\p{S}){1,2000}x(\\p{L}|\\p{N}){1,2000}"],
  ])("is refused in a moment: %s", (_name, source) => {
    const ms = processorMs(() => expect(refusal(source).code).toBe(Code.INVALID_ARGUMENT));
    expect(ms).toBeLessThan(processorMsMax);
  });
});
