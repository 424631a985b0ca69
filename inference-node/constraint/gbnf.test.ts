// A caller's grammar: what llama.cpp's own examples use is taken, and means the same after it was read.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Code } from "../node-error.ts";
import { refusalOf, textGrammar } from "./testing/compiled.ts";
import { engineJudge, type GrammarJudge } from "./testing/engine-grammar.ts";
import { GbnfSampler, seededRandom } from "./testing/gbnf-sampler.ts";

let judge: GrammarJudge;
beforeAll(async () => {
  judge = await engineJudge();
});

const examples = join(dirname(createRequire(import.meta.url).resolve("node-llama-cpp")), "..", "llama", "grammars");

describe("the grammars that come with the engine", () => {
  test.each(readdirSync(examples).filter((name) => name.endsWith(".gbnf")))("make the same texts: %s", (name) => {
    const source = readFileSync(join(examples, name), "utf8");
    const grammar = textGrammar("grammar", source);
    const [own, theirs] = [new GbnfSampler(grammar, seededRandom(5)), new GbnfSampler(source, seededRandom(6))];
    for (let i = 0; i < 10; i++) {
      expect(judge(source, own.draw())).toBe(true);
      expect(judge(grammar, theirs.draw())).toBe(true);
    }
  });
});

test("literals, classes, groups, counts, comments and escapes mean what the engine means by them", () => {
  const source = [
    "# a comment",
    'root ::= item{2,3} ("x" | # another',
    '  "y\\"\\\\\\n\\x41\\u00e9\\U0001f44b" )? [^a-c\\]\\-]  "" end+',
    'item ::= [a-c] | .  \r\nend ::= ( "!" )',
  ].join("\n");
  const grammar = textGrammar("grammar", source);
  for (const text of ["ab?!", "abcx]z!!".replace("]", "d").replace("z", ""), 'aby"\\\nAé👋d!', "zzzd!"]) {
    expect([text, judge(grammar, text)]).toEqual([text, judge(source, text)]);
  }
  expect(judge(grammar, 'aby"\\\nAé👋d!')).toBe(true);
});

describe("a grammar that the engine would choke on", () => {
  test.each([
    ["", "no rule called root"],
    ['a ::= "b"', "no rule called root"],
    ["root ::= foo", "not there: foo"],
    ["root ::= root", "no text can end: root"],
    ['root ::= root "a" | "b"', "left recursion"],
    ['root ::= a root "x" | "y"\na ::= b\nb ::= "" | "z"', "left recursion"],
    ['root ::= a "x"\na ::= b "y"\nb ::= a | "z"', "left recursion"],
    ['root ::= "a" b\nb ::= "c" b', "no text can end: root"],
    ["root ::= [^\\x01-\\U0010ffff]", "no text can end: root"],
    ['root ::= ("a"?)*', "repeats what may be empty"],
    ['root ::= a+\na ::= "b"?', "repeats what may be empty"],
    ['root ::= "a"{2000}', "repeats more than 1000"],
    ['root ::= "a"{3,2}', "reversed"],
    ['root ::= "a"**', "can't repeat another"],
    ['root ::= * "a"', "nothing before this to repeat"],
    ['root ::= "a', "has no end"],
    ["root ::= [a", "has no end"],
    ["root ::= []", "an empty class"],
    ['root ::= ("a"', "a ( without its )"],
    ['root ::= "a" )', "belongs to no rule"],
    ['root ::= "\\q"', "this escape is not known"],
    ['root "a"', "::= must stand here"],
    ['root ::= "a"\nroot ::= "b"', "is there twice"],
    ["root ::= <think>", "names a token"],
    [`root ::= ${"(".repeat(500)}"a"${")".repeat(500)}`, "nested deeper than 64"],
    [`root ::= ${'("a" "b"){0,900} '.repeat(50)}`, "repetitions may expand to"],
  ])("is refused and says why: %j", (source, why) => {
    const { code, param, message } = refusalOf(() => textGrammar("grammar", source));
    expect([code, param]).toEqual([Code.INVALID_ARGUMENT, "constraint.grammar"]);
    expect(message).toContain(why);
  });

  test("is refused with the line and the column", () => {
    const { message } = refusalOf(() => textGrammar("grammar", 'root ::= "a"\nb ::= "\\q"'));
    expect(message).toContain("line 2, column 8");
  });

  test("of a chain of thousands of rules is checked without running out of stack", () => {
    const rules = Array.from({ length: 15_000 }, (_, i) => `r${i} ::= r${i + 1} | "x"`);
    expect(textGrammar("grammar", ["root ::= r0", ...rules, 'r15000 ::= "y"'].join("\n"))).toContain("root ::= ");
  });
});

describe("a grammar of which ever more readings stay open", () => {
  test.each(["", '"x"{40} '])("is refused where they double before any character, behind %j", (lead) => {
    const rules = Array.from({ length: 40 }, (_, i) => `r${i} ::= r${i + 1} "a" | r${i + 1} "b"`);
    const source = [`root ::= ${lead}r0`, ...rules, 'r40 ::= "c"'].join("\n");
    const { code, message } = refusalOf(() => textGrammar("grammar", source));
    expect([code, message]).toEqual([Code.INVALID_ARGUMENT, expect.stringContaining("too ambiguous")]);
  });

  test.each([
    ['root ::= [ -~] root "b" | [ -~] root "c" | "d"'],
    ['root ::= "(" root ")" "x" | "(" root ")" "y" | "z"'],
    ['root ::= (a | b)+ "\\n"\na ::= [a-f] "x"?\nb ::= [a-f] "y"?'],
    ['root ::= word+ "."\nword ::= [a-z]+ | [a-z] [a-z0-9]*'],
  ])("is refused, for the engine would not come back: %s", (source) => {
    const { code, message } = refusalOf(() => textGrammar("grammar", source));
    expect([code, message]).toEqual([Code.INVALID_ARGUMENT, expect.stringContaining("too ambiguous")]);
  });

  test.each([
    ['root ::= (a | b | "x" | [0-9])+ "\\n"\na ::= [a-z]\nb ::= [a-f] | a', ["abx1\n"]],
    ['root ::= "a"* "a"* "b"', ["aab"]],
    ['root ::= item ("," item)*\nitem ::= "ab" | "abc" | "abcd"', ["ab,abc,abcd"]],
  ])("is taken where the readings stay few, and means the same: %s", (source, texts) => {
    const grammar = textGrammar("grammar", source);
    for (const text of texts) expect([judge(source, text), judge(grammar, text)]).toEqual([true, true]);
  });
});
