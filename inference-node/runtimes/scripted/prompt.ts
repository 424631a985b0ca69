// Reads a prompt for the scripted model: how many tokens it has, and which of its messages is the script.
import { type ChatPrompt, type Message, type Prompt, Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, NodeError } from "../../node-error.ts";
import { tokenize, tokenText } from "./tokenizer.ts";

export interface ScriptedPrompt {
  /** Tokens of the prompt, the template's included. */
  promptTokens: number;
  /** The message that is echoed or read as a script. */
  message: string;
  /** The contract's path of that message. */
  param: string;
}

/** What the template adds to each message, and to the prompt for the answer to begin. */
const templateTokens = 3;

/** Counts a prompt and finds its script: the last user message of a chat, else the whole prompt. */
export function readPrompt(prompt: Prompt): ScriptedPrompt {
  const { form } = prompt;
  if (form.case === "chat") return readChat(form.value);
  if (form.case === "text") {
    return { promptTokens: count(form.value), message: form.value, param: "prompt.text" };
  }
  if (form.case === "tokens") {
    const { ids } = form.value;
    const message = ids.map((id) => tokenText(id, "prompt.tokens.ids")).join("");
    return { promptTokens: ids.length, message, param: "prompt.tokens.ids" };
  }
  throw new NodeError(Code.FAILED_PRECONDITION, "The scripted model fills no holes.", {
    param: "prompt.fill_in_middle",
  });
}

function readChat({ messages, tools }: ChatPrompt): ScriptedPrompt {
  let promptTokens = templateTokens;
  for (const message of messages) promptTokens += templateTokens + messageTokens(message);
  for (const tool of tools) promptTokens += count(tool.name) + count(tool.description) + count(tool.parametersJson);
  const lastUser = messages.findLastIndex(({ role }) => role === Role.USER);
  const index = lastUser === -1 ? messages.length - 1 : lastUser;
  const message = messages[index]?.content ?? "";
  return { promptTokens, message, param: `prompt.chat.messages[${index}].content` };
}

function messageTokens({ content, name, reasoning, toolCalls }: Message): number {
  const calls = toolCalls.reduce((sum, call) => sum + count(call.name) + count(call.arguments), 0);
  return count(content) + count(name) + count(reasoning) + calls;
}

function count(text: string): number {
  return tokenize(text).length;
}
