// Checks a prompt in each of its forms against the contract.
import type { ChatPrompt, Message, Prompt, Tool, ToolChoice } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Role, ToolChoice_Mode } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { invalid } from "./node-error.ts";

/** Bounds that the contract leaves to the node; lengths are in UTF-16 code units. */
const promptLimits = {
  messages: 10_000,
  tools: 1_024,
  toolNameChars: 128,
} as const;

/** Throws INVALID_ARGUMENT, with `param`, for the first field of a prompt that is outside the contract. */
export function validatePrompt(prompt: Prompt | undefined): asserts prompt is Prompt {
  const form = prompt?.form;
  if (form?.case === undefined) invalid("prompt", "must be given in one of its forms.");
  if (form.case === "chat") validateChat(form.value);
  if (form.case === "text" && form.value === "") invalid("prompt.text", "must not be empty.");
  if (form.case === "tokens" && form.value.ids.length === 0) invalid("prompt.tokens.ids", "must not be empty.");
}

function validateChat(chat: ChatPrompt): void {
  const { messages, tools } = chat;
  if (messages.length === 0) invalid("prompt.chat.messages", "must have at least one message.");
  if (messages.length > promptLimits.messages) {
    invalid("prompt.chat.messages", `must have at most ${promptLimits.messages} messages.`);
  }
  for (const [index, message] of messages.entries()) validateMessage(message, `prompt.chat.messages[${index}]`);
  if (chat.continueFinalMessage && messages.at(-1)?.role !== Role.ASSISTANT) {
    invalid("prompt.chat.continue_final_message", "needs an assistant message at the end.");
  }
  const names = validateTools(tools);
  if (chat.toolChoice) validateToolChoice(chat.toolChoice, names);
}

function validateMessage(message: Message, path: string): void {
  if (message.role === Role.UNSPECIFIED || !(message.role in Role)) invalid(`${path}.role`, "is not a known role.");
  if (message.role === Role.TOOL && message.toolCallId === "") {
    invalid(`${path}.tool_call_id`, "must name the call that a tool message answers.");
  }
  if (message.toolCalls.length > 0 && message.role !== Role.ASSISTANT) {
    invalid(`${path}.tool_calls`, "belong to assistant messages only.");
  }
  for (const [index, call] of message.toolCalls.entries()) {
    if (call.name === "") invalid(`${path}.tool_calls[${index}].name`, "must not be empty.");
  }
}

function validateTools(tools: readonly Tool[]): ReadonlySet<string> {
  if (tools.length > promptLimits.tools) invalid("prompt.chat.tools", `must be at most ${promptLimits.tools}.`);
  const names = new Set<string>();
  for (const [index, tool] of tools.entries()) {
    const path = `prompt.chat.tools[${index}]`;
    if (tool.name === "" || tool.name.length > promptLimits.toolNameChars) {
      invalid(`${path}.name`, `must have 1 to ${promptLimits.toolNameChars} characters.`);
    }
    if (names.has(tool.name)) invalid(`${path}.name`, "must be unique.");
    names.add(tool.name);
    if (tool.parametersJson !== "") validateParameters(tool.parametersJson, `${path}.parameters_json`);
  }
  return names;
}

/** A schema whose type leaves no object has no call: what a client reads as arguments is one. */
function validateParameters(json: string, path: string): void {
  const schema = jsonObject(json);
  if (schema === undefined) invalid(path, "must be a JSON object.");
  const { type } = schema;
  if (type !== undefined && !(Array.isArray(type) ? type : [type]).includes("object")) {
    invalid(`${path}.type`, 'must be "object": arguments are one.');
  }
}

function validateToolChoice(choice: ToolChoice, names: ReadonlySet<string>): void {
  if (!(choice.mode in ToolChoice_Mode)) invalid("prompt.chat.tool_choice.mode", "is not a known mode.");
  if (choice.mode === ToolChoice_Mode.NAMED && !names.has(choice.name)) {
    invalid("prompt.chat.tool_choice.name", "must be the name of one of the tools.");
  }
  if (choice.mode === ToolChoice_Mode.REQUIRED && names.size === 0) {
    invalid("prompt.chat.tool_choice.mode", "needs at least one tool.");
  }
  for (const [index, name] of choice.allowedNames.entries()) {
    if (!names.has(name)) {
      invalid(`prompt.chat.tool_choice.allowed_names[${index}]`, "must be the name of one of the tools.");
    }
  }
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
