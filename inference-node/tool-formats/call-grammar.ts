// What a chat's tool choice, strict tools and constraint hold its answer to; the last grammars of calls are kept.
import { GrammarCache } from "../constraint/grammar-cache.ts";
import {
  type AnswerGrammar,
  eitherGrammar,
  grammarAfterThought,
  grammarWithLead,
  type Thought,
} from "./answer-grammar.ts";
import type { ToolFormat } from "./format.ts";
import { callsOrWordsGrammar, type GrammarTool, type ToolGrammarOptions, toolCallsGrammar } from "./tool-grammar.ts";

/** What an answer may be. */
export interface AnswerChoice {
  /** Tools that may be called. */
  readonly tools: readonly GrammarTool[];
  /** Whether one must be. */
  readonly forced: boolean;
  readonly callsMax: number;
  readonly thought: Thought | undefined;
}

/**
 * The grammar of an answer; undefined when the model is free. `constraint` is a grammar for what is said in words. Throws
 * INVALID_ARGUMENT, with the path, for a strict tool's schema that no grammar can hold.
 */
export function answerGrammar(
  format: ToolFormat | undefined,
  choice: AnswerChoice,
  constraint: string | undefined,
): AnswerGrammar | undefined {
  const { tools, forced, thought, callsMax } = choice;
  const words = constraint === undefined ? undefined : grammarWithLead(constraint, format?.syntax.answerLead ?? "");
  if (format === undefined || tools.length === 0)
    return words === undefined ? undefined : grammarAfterThought(words, thought);
  const { syntax, callsInMessageMax = callsMax } = format;
  const options = { tools, syntax, callsMax: Math.min(callsMax, callsInMessageMax), begun: "" };
  if (forced) return grammarAfterThought(kept("calls", format, options), thought);
  if (words !== undefined) {
    return grammarAfterThought(eitherGrammar(words, kept("calls", format, options), "constraint"), thought);
  }
  if (!tools.some(({ strict }) => strict)) return undefined;
  if (syntax.trigger === undefined) return grammarAfterThought(kept("words", format, options), thought);
  const begun = begunBy(format, syntax.trigger);
  return { gbnf: kept("rest", format, { ...options, begun }), after: syntax.trigger, mayEndBefore: true };
}

/** The beginning of the calls, up to and with the trigger: no name of a tool is in it. */
function begunBy({ syntax }: ToolFormat, trigger: string): string {
  const text = syntax.begin + syntax.call("").before;
  return text.slice(0, text.indexOf(trigger) + trigger.length);
}

const cache = new GrammarCache();

function kept(kind: "calls" | "words" | "rest", format: ToolFormat, options: ToolGrammarOptions): string {
  const key = JSON.stringify([kind, format.name, options.callsMax, options.tools]);
  return cache.get(key, () => (kind === "words" ? callsOrWordsGrammar(options) : toolCallsGrammar(options)));
}
