// Holds an answer to a grammar from where the thought before it ends.
import { parseGbnf } from "../constraint/gbnf-parser.ts";
import { gbnfRule } from "../constraint/gbnf-writer.ts";
import { GrammarBuilder, literal } from "../constraint/grammar-builder.ts";

/** What an answer is held to, as the engine is told. Grammars are GBNF with the root rule `root`, in the first line. */
export interface AnswerGrammar {
  readonly gbnf: string;
  /** The grammar begins after this text; what comes before it is free. */
  readonly after?: string;
  /** Whether the generation may end before `after` came. */
  readonly mayEndBefore?: boolean;
  /** Whether `after` is waited for: only if the output begins with `text`, which this grammar allows beside the other. */
  readonly opening?: { readonly text: string; readonly gbnf: string };
}

/** The thought that an answer may begin with. */
export interface Thought {
  readonly open: string;
  readonly close: string;
  /** The prompt has opened it. */
  readonly begun: boolean;
}

/** A grammar for an answer that may begin with a thought. */
export function grammarAfterThought(gbnf: string, thought: Thought | undefined): AnswerGrammar {
  if (thought === undefined) return { gbnf };
  const { open, close, begun } = thought;
  // Models put a blank line behind a thought.
  const held = { gbnf: withRoot(gbnf, (root) => `[ \\n]{0,2} (${root})`), after: close };
  if (begun) return held;
  return { ...held, opening: { text: open, gbnf: withRoot(gbnf, (root) => `${literal(open)} | ${root}`) } };
}

/** The same grammar with a text before everything that it allows. */
export function grammarWithLead(gbnf: string, lead: string): string {
  return lead === "" ? gbnf : withRoot(gbnf, (root) => `${literal(lead)} (${root})`);
}

/** A grammar that allows what either of two does. */
export function eitherGrammar(one: string, other: string, path: string): string {
  const builder = new GrammarBuilder(path);
  const rules = [one, other].map((gbnf) => gbnfRule(builder, parseGbnf(gbnf, path)));
  return builder.grammar(rules.join(" | "));
}

function withRoot(gbnf: string, change: (root: string) => string): string {
  const [first = "", ...rules] = gbnf.split("\n");
  return [`root ::= ${change(first.slice("root ::= ".length))}`, ...rules].join("\n");
}
