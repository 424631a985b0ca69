// Regular expressions as grammars: the texts of one are the texts of the other.
import { beforeAll, expect, test } from "vitest";
import { textGrammar } from "./testing/compiled.ts";
import { engineJudge, type GrammarJudge } from "./testing/engine-grammar.ts";
import { GbnfSampler, seededRandom } from "./testing/gbnf-sampler.ts";

let judge: GrammarJudge;
beforeAll(async () => {
  judge = await engineJudge();
});

type Case = [source: string, matching: string[], others: string[]];
const cases: Case[] = [
  ["abc", ["abc"], ["ab", "abcd", ""]],
  ["", [""], ["a"]],
  ["a|b|", ["a", "b", ""], ["ab"]],
  ["(yes|no)", ["yes", "no"], ["yesno"]],
  ["(?:ab)+", ["ab", "abab"], ["", "aba"]],
  ["(?<year>\\d{4})-(?:0[1-9]|1[0-2])", ["2024-12"], ["2024-13", "224-01"]],
  ["a*?b+?c??", ["b", "aabbc"], ["a"]],
  ["a{2}b{2,}c{1,2}", ["aabbc", "aabbbcc"], ["abbc", "aabc", "aabbccc"]],
  ["a{0}b", ["b"], ["ab"]],
  ["[a-c_-]+", ["a-b_c"], ["d"]],
  ["[^a-c]", ["d", "\n", "é", "👋"], ["a", "dd"]],
  ["[\\d.]+", ["1.2"], ["a"]],
  ["[\\]\\\\^]", ["]", "\\", "^"], ["["]],
  [".", ["a", "👋"], ["\n", "\r", "\u2028", ""]],
  ["\\w\\W\\d\\D\\s\\S", ["a-1b c", "_ 0x\u00a0y"], ["aa1b c"]],
  ["\\t\\n\\r\\f\\v", ["\t\n\r\f\v"], ["t"]],
  ["\\x41\\u0042\\u{1F44B}\\cJ", ["AB👋\n"], ["AB"]],
  ["\\ud83d\\udc4b", ["👋"], ["x"]],
  ["\\.\\*\\/-\\$", [".*/-$"], ["a*/-$"]],
  ["\\p{Lu}\\P{L}", ["A1", "É "], ["a1", "AA"]],
  ["\\p{Script=Greek}+", ["αβγ"], ["abc"]],
  ["^ab$", ["ab"], ["a", "xab"]],
  ["^a|b$", ["a", "b"], ["ab"]],
  ["(^a|b)c", ["ac", "bc"], ["abc"]],
  ["(a|a)*b", ["b", "aab"], ["a"]],
  ["((a*)*)*", ["", "aaa"], ["b"]],
  ["(a?){3}", ["", "a", "aaa"], ["aaaa"]],
  ["(?:[a-z]+|\\d+)(?:,(?:[a-z]+|\\d+))*", ["a,1,b"], ["a,,b"]],
  ["👋+", ["👋👋"], [""]],
  ['"[^"\\\\]*"', ['"a b"'], ['"a']],
];

test.each(cases)("an expression matches what it matches, as a whole: %s", (source, matching, others) => {
  const grammar = textGrammar("regex", source);
  for (const text of matching) expect(judge(grammar, text), text).toBe(true);
  for (const text of others) expect(judge(grammar, text), text).toBe(false);
});

test.each(cases)("what an expression makes, JavaScript's own matches: %s", (source) => {
  const expression = new RegExp(`^(?:${source})$`, "u");
  const grammar = textGrammar("regex", source);
  const sampler = new GbnfSampler(grammar, seededRandom(11), 20);
  for (let i = 0; i < 30; i++) {
    const text = sampler.draw();
    expect(expression.test(text), JSON.stringify(text)).toBe(true);
    expect(judge(grammar, text)).toBe(true);
  }
});

test("Python's anchors, group names and open counts mean what they do there", () => {
  const grammar = textGrammar("regex", "\\A(?P<x>a){,2}\\Z");
  for (const text of ["", "a", "aa"]) expect(judge(grammar, text)).toBe(true);
  expect(judge(grammar, "aaa")).toBe(false);
});
