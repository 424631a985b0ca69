// A model's chat format: its template with the tool format and the reasoning that were tested against it.
import { type Thinking, Thinking_Effort, Thinking_Mode } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { type ChatPrompt, type Tool, ToolChoice_Mode } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { ChatTemplate, type ChatTemplateSource, plainCalls, type RenderedPrompt } from "../chat-template.ts";
import type { AnswerGrammar, Thought } from "./answer-grammar.ts";
import { generic, llama3 } from "./bare-json.ts";
import { renderBound, type ToolBinding } from "./binding.ts";
import { type AnswerChoice, answerGrammar } from "./call-grammar.ts";
import { deepseekV3, deepseekV31 } from "./deepseek.ts";
import type { ToolFormat } from "./format.ts";
import { harmony } from "./harmony.ts";
import { hermes } from "./hermes.ts";
import { mistralArray, mistralNamed } from "./mistral.ts";
import { OutputParser } from "./output-parser.ts";
import { deepseekV4, deepseekV32, qwenXml } from "./parameter-tags.ts";
import { opensReasoning, type ReasoningMarkers, reasoningOf } from "./reasoning.ts";
import { selfTest } from "./self-test.ts";
import type { GrammarTool } from "./tool-grammar.ts";

const formats = [
  harmony,
  deepseekV32,
  deepseekV4,
  deepseekV3,
  deepseekV31,
  mistralNamed,
  mistralArray,
  qwenXml,
  hermes,
  llama3,
];

/** Calls in one answer, when the request does not say one: a model that repeats itself must end. */
const parallelCallsMax = 64;

/** A rendered chat and how its answer is to be read. */
export interface RenderedChat {
  readonly segments: RenderedPrompt;
  /** The tools that may be called; empty when none may. */
  readonly tools: readonly Tool[];
  readonly choice: AnswerChoice;
}

export class ChatFormat {
  readonly reasoning: ReasoningMarkers | undefined;
  /** Undefined when the template takes neither tools nor a text that describes them. */
  readonly binding: ToolBinding | undefined;
  /** What an operator should know about the choice, in a sentence. */
  readonly remark: string;
  readonly #template: ChatTemplate;
  readonly #source: ChatTemplateSource;

  /** Throws when the template does not parse. */
  constructor(source: ChatTemplateSource) {
    this.#source = source;
    this.#template = new ChatTemplate(source);
    this.reasoning = reasoningOf(source.template);
    const { binding, remark } = bind(this.#template, source, this.reasoning);
    this.binding = binding;
    this.remark = remark;
  }

  /** What ends a thought when the engine has to. */
  get closingText(): string {
    const close = this.reasoning?.close ?? "";
    return close === "</think>" ? `\n${close}` : close;
  }

  /** Control tokens whose texts the parser must see for this chat. */
  visibleTokens(chat: RenderedChat): readonly string[] {
    const markers = [
      ...(this.reasoning === undefined ? [] : [this.reasoning.open, this.reasoning.close]),
      ...(this.#readsTools(chat) ? (this.binding?.format.markers ?? []) : []),
    ];
    return this.#source.controlTokens.filter((token) => markers.some((marker) => marker.includes(token)));
  }

  /** Renders a chat with the tools that it lets the model call. Throws what `ChatTemplate.render` throws. */
  render(chat: ChatPrompt, thinking: Thinking | undefined): RenderedChat {
    const tools = callableTools(chat);
    const segments = this.#segments({ ...chat, tools: [...tools] }, thinking);
    const closed = this.#withThinkingOff(segments, chat, thinking);
    const mode = chat.toolChoice?.mode;
    // OpenAI's clients read one call when they named its tool.
    const single = chat.parallelToolCalls === false || mode === ToolChoice_Mode.NAMED;
    const choice = {
      tools: tools.map((tool) => grammarTool(tool, chat.tools.indexOf(tool))),
      forced: mode === ToolChoice_Mode.NAMED || mode === ToolChoice_Mode.REQUIRED,
      callsMax: single ? 1 : parallelCallsMax,
      thought: this.#thought(closed, chat, thinking),
    };
    return { segments: closed, tools, choice };
  }

  /**
   * What the answer is held to; undefined when the model is free. `constraint` is the grammar of what it says in words.
   * Throws INVALID_ARGUMENT, with the path, for a strict tool's schema that no grammar can hold.
   */
  grammar({ choice }: RenderedChat, constraint: string | undefined): AnswerGrammar | undefined {
    return answerGrammar(this.binding?.format, choice, constraint);
  }

  /** Whether an answer to this chat has to be parsed at all. */
  parses(chat: RenderedChat): boolean {
    return this.reasoning !== undefined || this.#readsTools(chat);
  }

  /** A parser for one answer. */
  parser(chat: RenderedChat, random?: (length: number) => string): OutputParser {
    return new OutputParser({
      format: this.#readsTools(chat) ? this.binding?.format : undefined,
      reasoning: this.reasoning,
      reasoningOpened: chat.choice.thought?.begun === true,
      controls: this.visibleTokens(chat),
      tools: new Map(chat.tools.map(({ name, parametersJson }) => [name, JSON.parse(parametersJson || "{}")])),
      callsMax: chat.choice.callsMax,
      random,
    });
  }

  #thought(segments: RenderedPrompt, chat: ChatPrompt, thinking: Thinking | undefined): Thought | undefined {
    if (this.reasoning === undefined) return undefined;
    const { open, close } = this.reasoning;
    const end = segments.join("").slice(-200).trimEnd();
    if (opensReasoning(end, this.reasoning)) return { open: open.trimEnd(), close, begun: true };
    const without =
      thinking?.mode === Thinking_Mode.DISABLED || chat.continueFinalMessage || end.endsWith(close.trimEnd());
    return without ? undefined : { open: open.trimEnd(), close, begun: false };
  }

  #readsTools(chat: RenderedChat): boolean {
    return chat.tools.length > 0 || this.binding?.format.readsReasoning === true;
  }

  #segments(chat: ChatPrompt, thinking: Thinking | undefined): RenderedPrompt {
    const variables = this.#variables(thinking);
    const binding = this.binding;
    if (binding === undefined) return this.#template.render(chat, { variables });
    return renderBound(this.#template, binding, chat, variables);
  }

  /** The names that templates have for the switch and the effort; each is given to those that read it. */
  #variables(thinking: Thinking | undefined): Record<string, unknown> {
    const { template } = this.#source;
    const variables: Record<string, unknown> = {};
    if (thinking === undefined) return variables;
    const { mode, effort } = thinking;
    if (mode !== Thinking_Mode.UNSPECIFIED || effort !== Thinking_Effort.UNSPECIFIED) {
      const on = mode !== Thinking_Mode.DISABLED;
      variables.enable_thinking = on;
      variables.thinking = on;
    }
    const word = effortWords[effort];
    if (word !== undefined && template.includes("reasoning_effort")) {
      const takesMax = /['"]max['"]/.test(template);
      variables.reasoning_effort = word === "max" && !takesMax ? "high" : word;
    }
    if (thinking.budgetTokens > 0 && template.includes("thinking_budget")) {
      variables.thinking_budget = thinking.budgetTokens;
    }
    return variables;
  }

  /** A model whose template has no switch is given a thought that is closed already. */
  #withThinkingOff(segments: RenderedPrompt, chat: ChatPrompt, thinking: Thinking | undefined): RenderedPrompt {
    const markers = this.reasoning;
    if (markers === undefined || thinking?.mode !== Thinking_Mode.DISABLED || chat.continueFinalMessage)
      return segments;
    const end = segments.join("").slice(-200).trimEnd();
    if (end.endsWith(markers.close.trimEnd())) return segments;
    const opened = opensReasoning(end, markers);
    const open = opened ? "" : markers.open;
    const gap = markers.open === "<think>" ? "\n\n" : "";
    const [last, ...before] = segments.toReversed();
    return [...before.toReversed(), `${last ?? ""}${open}${gap}${markers.close}${gap}`];
  }
}

const effortWords: Partial<Record<Thinking_Effort, string>> = {
  [Thinking_Effort.LOW]: "low",
  [Thinking_Effort.MEDIUM]: "medium",
  [Thinking_Effort.HIGH]: "high",
  [Thinking_Effort.MAX]: "max",
};

/** The tools that the request's choice leaves to the model. */
function callableTools({ tools, toolChoice }: ChatPrompt): readonly Tool[] {
  if (toolChoice?.mode === ToolChoice_Mode.NONE) return [];
  if (toolChoice?.mode === ToolChoice_Mode.NAMED) return tools.filter(({ name }) => name === toolChoice.name);
  const allowed = toolChoice?.allowedNames ?? [];
  return allowed.length === 0 ? tools : tools.filter(({ name }) => allowed.includes(name));
}

function grammarTool({ name, parametersJson, strict }: Tool, index: number): GrammarTool {
  return { name, parametersJson, strict, path: `prompt.chat.tools[${index}].parameters_json` };
}

/** Chooses the format that the template is written for and that passes the self-test, in the style that it wants. */
function bind(
  template: ChatTemplate,
  source: ChatTemplateSource,
  reasoning: ReasoningMarkers | undefined,
): { binding: ToolBinding | undefined; remark: string } {
  const candidates = formats.filter((format) => format.matches(source.template));
  let failure = "";
  for (const format of candidates) {
    for (const binding of bindings(format)) {
      const problem = selfTest(template, source, binding, reasoning);
      if (problem === undefined)
        return { binding, remark: `Tools are called in the template's own form (${format.name}).` };
      failure ||= `${format.name}: ${problem}`;
    }
  }
  const binding: ToolBinding = { format: generic, calls: plainCalls, offered: "described" };
  const problem = selfTest(template, source, binding, reasoning);
  const why =
    failure === "" ? "The chat template has no tool format that is known" : `The chat template failed (${failure})`;
  if (problem === undefined) return { binding, remark: `${why}: tools are called in the generic JSON form.` };
  return {
    binding: undefined,
    remark: `${why}, and the generic JSON form too (${problem}): this model takes no tools.`,
  };
}

/** Every way in which a template of the format may want calls and tools. */
function* bindings(format: ToolFormat): Generator<ToolBinding> {
  for (const offered of format.describe === undefined
    ? (["template"] as const)
    : (["template", "described"] as const)) {
    for (const argumentsAs of ["object", "text"] as const) {
      for (const emptyContent of ["", null] as const) {
        const callsInMessageMax = format.callsInMessageMax ?? Number.POSITIVE_INFINITY;
        const calls = { argumentsAs, emptyContent, callsInMessageMax, callId: format.callId?.pattern };
        yield { format, offered, calls };
      }
    }
  }
}
