// The messages of a chat: OpenAI's roles and content parts into the contract's.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type MessageSchema, Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { ApiError } from "../errors.ts";
import type { ChatContent, ChatMessage } from "./openai-chat-schema.ts";

const ROLES = {
  system: Role.SYSTEM,
  developer: Role.DEVELOPER,
  user: Role.USER,
  assistant: Role.ASSISTANT,
  tool: Role.TOOL,
} as const;

type MessageInit = MessageInitShape<typeof MessageSchema>;

/**
 * The messages in order.
 *
 * @throws ApiError `unsupported_parameter` for content that is not text, `invalid_request` for a message that says
 * nothing or a tool's result that answers no call.
 */
export function messagesOf(messages: readonly ChatMessage[]): {
  messages: MessageInit[];
  continueFinalMessage: boolean;
} {
  const calls = new Set<string>();
  const read = messages.map((message, at) => {
    const param = `messages[${at}]`;
    if (message.role === "assistant") {
      if (message.prefix === true && at !== messages.length - 1) {
        throw invalid(`${param}.prefix`, "only the last message may have it");
      }
      for (const { id } of message.tool_calls ?? []) calls.add(id);
      return assistantMessage(message, param);
    }
    if (message.role === "tool") {
      if (!calls.has(message.tool_call_id)) {
        throw invalid(`${param}.tool_call_id`, "no earlier assistant message made this call");
      }
      const content = textOf(message.content, `${param}.content`);
      return { role: Role.TOOL, content, toolCallId: message.tool_call_id };
    }
    const content = textOf(message.content, `${param}.content`);
    return { role: ROLES[message.role], content, name: message.name ?? "" };
  });
  const last = messages.at(-1);
  return { messages: read, continueFinalMessage: last?.role === "assistant" && last.prefix === true };
}

function assistantMessage(message: Extract<ChatMessage, { role: "assistant" }>, param: string): MessageInit {
  const toolCalls = (message.tool_calls ?? []).map(({ id, function: called }) => ({
    id,
    name: called.name,
    arguments: called.arguments,
  }));
  const said = message.content ?? message.refusal;
  const reasoning = message.reasoning_content ?? message.reasoning;
  if (said == null && reasoning == null && toolCalls.length === 0) {
    throw invalid(`${param}.content`, "an assistant message without `tool_calls` needs content");
  }
  return {
    role: Role.ASSISTANT,
    content: said == null ? "" : textOf(said, `${param}.content`),
    name: message.name ?? "",
    reasoning: reasoning ?? "",
    toolCalls,
  };
}

/** The text of a content; its parts are separate paragraphs to the author, and stay so. */
function textOf(content: ChatContent, param: string): string {
  if (typeof content === "string") return content;
  return content.map((part, at) => partText(part, `${param}[${at}]`)).join("\n");
}

function partText(part: Exclude<ChatContent, string>[number], param: string): string {
  if (part.type !== "text" && part.type !== "refusal") {
    throw new ApiError(
      "unsupported_parameter",
      `\`${param}.type\` must be "text": other kinds of content are not supported.`,
      { param: `${param}.type` },
    );
  }
  const said = part.type === "text" ? part.text : part.refusal;
  if (said === undefined) throw invalid(`${param}.${part.type}`, "it is required");
  return said;
}

function invalid(param: string, why: string): ApiError {
  return new ApiError("invalid_request", `\`${param}\` is invalid: ${why}.`, { param });
}
