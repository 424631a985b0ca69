// Holds a tool format to a template: a call rendered by the one must be read back by the other.
import { isDeepStrictEqual } from "node:util";
import { create } from "@bufbuild/protobuf";
import { type ChatPrompt, ChatPromptSchema, Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { ChatTemplate, ChatTemplateSource } from "../chat-template.ts";
import { generic } from "./bare-json.ts";
import { renderBound, type ToolBinding } from "./binding.ts";
import { OutputParser } from "./output-parser.ts";
import { opensReasoning, type ReasoningMarkers } from "./reasoning.ts";

const tool = {
  name: "sluice_probe",
  description: "A tool that exists for a test.",
  parametersJson: JSON.stringify({
    type: "object",
    properties: {
      text: { type: "string", description: "Any text." },
      count: { type: "integer", description: "Any number." },
    },
    required: ["text", "count"],
  }),
};
const probe = { text: 'It is 5 o"clock, <b>é</b>', count: 7 };
const question = { role: Role.USER, content: "Which probe?" };
const called = {
  role: Role.ASSISTANT,
  toolCalls: [{ id: "call00001", name: tool.name, arguments: JSON.stringify(probe) }],
};
const result = { role: Role.TOOL, toolCallId: "call00001", content: "probe-result-4711" };

/** Undefined when the pair passes, else what was wrong. */
export function selfTest(
  template: ChatTemplate,
  source: ChatTemplateSource,
  binding: ToolBinding,
  reasoning: ReasoningMarkers | undefined,
): string | undefined {
  try {
    const render = (chat: ChatPrompt): string => renderBound(template, binding, chat).join("");
    const prompt = render(create(ChatPromptSchema, { messages: [question], tools: [tool] }));
    if (!prompt.includes(tool.name)) return "it does not list the tools";
    const told = render(create(ChatPromptSchema, { messages: [question, called, result], tools: [tool] }));
    if (!told.includes(result.content)) return "it leaves the tools' results out";
    const history = told.slice(0, told.indexOf(result.content));
    const { answer, opened } = answerIn(history, prompt, reasoning, binding.format.name === generic.name);
    const markers = [...binding.format.markers, reasoning?.open ?? "", reasoning?.close ?? ""];
    const parser = new OutputParser({
      format: binding.format,
      reasoning,
      reasoningOpened: opened,
      controls: source.controlTokens.filter((token) => markers.some((marker) => marker.includes(token))),
      tools: new Map([[tool.name, JSON.parse(tool.parametersJson)]]),
      callsMax: 2,
    });
    const pieces = [...parser.push(answer), ...parser.end()].filter((piece) => piece.type === "toolCall");
    const names = pieces.flatMap(({ name }) => (name === undefined ? [] : [name]));
    if (!isDeepStrictEqual(names, [tool.name])) return "a call that it rendered could not be read back";
    const text = pieces.map((piece) => piece.arguments).join("");
    return isDeepStrictEqual(JSON.parse(text), probe) ? undefined : "the arguments of a call came back changed";
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

/**
 * The text that the template made of the call. Most render it just after the prompt; where the prompt opens a thought,
 * history often has none. A call in the generic form is text like any other, wherever it stands.
 */
export function answerIn(history: string, prompt: string, reasoning: ReasoningMarkers | undefined, isGeneric: boolean) {
  if (isGeneric) {
    const at = history.indexOf(`{"name": "${tool.name}", "arguments"`);
    return { answer: at < 0 ? "" : history.slice(at), opened: false };
  }
  if (reasoning === undefined || history.startsWith(prompt)) {
    const opened = reasoning !== undefined && opensReasoning(prompt.slice(-200), reasoning);
    return { answer: history.slice(commonLength(prompt, history)), opened };
  }
  const thought = prompt.lastIndexOf(reasoning.open.trimEnd());
  const before = thought > prompt.length - 200 ? prompt.slice(0, thought) : prompt;
  return { answer: history.slice(commonLength(before, history)), opened: false };
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}
