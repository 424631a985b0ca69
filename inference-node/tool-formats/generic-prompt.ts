// The generic form: tools, calls and results in plain words and JSON, for models whose templates know no tools.
import { create } from "@bufbuild/protobuf";
import {
  type ChatPrompt,
  ChatPromptSchema,
  type Message,
  MessageSchema,
  Role,
} from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { ToolDescription } from "./format.ts";

/** Tells the model what it may call and how. */
export function describeGeneric(tools: readonly ToolDescription[], safe: (text: string) => string): string {
  const list = tools.map(({ name, description, parametersJson }) =>
    safe(JSON.stringify({ name, description, parameters: JSON.parse(parametersJson || "{}") })),
  );
  return (
    "You can call tools. These are the tools, each with the JSON Schema of its arguments:\n" +
    `${list.join("\n")}\n\n` +
    "To call a tool, answer with nothing but this JSON, on one line for each call:\n" +
    '{"name": "the tool\'s name", "arguments": {the arguments as JSON}}\n' +
    "You are then told the result. When no tool is needed, answer in words."
  );
}

/** The same chat without tools, calls and results: they become the words of the assistant and the user. */
export function genericChat(chat: ChatPrompt): ChatPrompt {
  if (!chat.messages.some(({ role, toolCalls }) => role === Role.TOOL || toolCalls.length > 0)) {
    return { ...chat, tools: [] };
  }
  const names = new Map(chat.messages.flatMap(({ toolCalls }) => toolCalls.map(({ id, name }) => [id, name])));
  const messages: Message[] = [];
  for (const message of chat.messages) {
    const plain = plainMessage(message, names);
    const last = messages.at(-1);
    // A result and a question that follow one another are both the user's: templates want the roles to alternate.
    if (last?.role === Role.USER && plain.role === Role.USER) last.content = `${last.content}\n\n${plain.content}`;
    else messages.push(plain);
  }
  return create(ChatPromptSchema, { messages, continueFinalMessage: chat.continueFinalMessage });
}

function plainMessage(message: Message, names: ReadonlyMap<string, string>): Message {
  const { role, content, name, reasoning, toolCalls, toolCallId, toolError } = message;
  if (role === Role.TOOL) {
    const what = toolError ? "Error" : "Result";
    const tool = names.get(toolCallId) ?? name;
    return create(MessageSchema, { role: Role.USER, content: `${what} of the tool ${tool || "call"}:\n${content}` });
  }
  const calls = toolCalls.map(
    (call) => `{"name": ${JSON.stringify(call.name)}, "arguments": ${call.arguments || "{}"}}`,
  );
  const said = [...(content === "" ? [] : [content]), ...calls].join("\n");
  return create(MessageSchema, { role, content: said, name, reasoning });
}
