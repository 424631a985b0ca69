// Renders a chat by the model's own Jinja template, with the user's text kept text.
import { Template } from "@huggingface/jinja";
import { type ChatPrompt, type Message, Role, type Tool } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, NodeError } from "./node-error.ts";

/** A template and the token texts that it may use. */
export interface ChatTemplateSource {
  readonly template: string;
  readonly bosToken: string;
  readonly eosToken: string;
  /** Texts of the vocabulary's control tokens, such as `<|im_end|>`: inside a message they are text, not control. */
  readonly controlTokens: readonly string[];
}

/**
 * A rendered prompt in segments, to be tokenised one by one with control tokens recognised. Borders between segments
 * lie only inside control-token texts that came from a message, so that no segment holds such a text whole.
 */
export type RenderedPrompt = readonly string[];

/** Noncharacters stand for a border; one that no message contains is chosen. */
const borderCandidates = ["\uFDD0", "\uFDD1", "\uFDD2", "\uFDD3", "\uFDD4", "\uFDD5", "\uFDD6", "\uFDD7"];

const endOfPrefix = "\uFDEF";

/** A compiled chat template. Construction throws when the template does not parse. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #source: ChatTemplateSource;
  readonly #knowsDeveloper: boolean;

  constructor(source: ChatTemplateSource) {
    this.#source = source;
    this.#template = new Template(source.template);
    this.#knowsDeveloper = source.template.includes("developer");
  }

  /**
   * Renders a chat. Throws INVALID_ARGUMENT with the template's own words when it refuses the messages (many refuse
   * roles that do not alternate).
   */
  render(chat: ChatPrompt): RenderedPrompt {
    const border = this.#chooseBorder(chat);
    const messages = chat.messages.map((message) => this.#templateMessage(message, border));
    if (chat.continueFinalMessage) markEndOfPrefix(messages);
    const rendered = this.#renderTemplate({
      messages,
      ...(chat.tools.length > 0 ? { tools: chat.tools.map(templateTool) } : {}),
      add_generation_prompt: !chat.continueFinalMessage,
      bos_token: this.#source.bosToken,
      eos_token: this.#source.eosToken,
    });
    return (chat.continueFinalMessage ? cutAtPrefix(rendered) : rendered).split(border);
  }

  #renderTemplate(context: Record<string, unknown>): string {
    try {
      return this.#template.render(context);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw new NodeError(Code.INVALID_ARGUMENT, `The model's chat template refuses these messages: ${reason}`, {
        param: "prompt.chat.messages",
        reason: "CHAT_TEMPLATE_REFUSED",
        cause: thrown,
      });
    }
  }

  #templateMessage(message: Message, border: string): Record<string, unknown> {
    const text = (value: string): string => this.#asText(value, border);
    return {
      role: this.#roleName(message.role),
      content: text(message.content),
      ...(message.name === "" ? {} : { name: text(message.name) }),
      ...(message.reasoning === "" ? {} : { reasoning_content: text(message.reasoning) }),
      ...(message.toolCallId === "" ? {} : { tool_call_id: text(message.toolCallId) }),
      ...(message.toolCalls.length === 0
        ? {}
        : {
            tool_calls: message.toolCalls.map((call) => ({
              id: text(call.id),
              type: "function",
              function: { name: text(call.name), arguments: parsedOrText(text(call.arguments)) },
            })),
          }),
    };
  }

  #roleName(role: Role): string {
    switch (role) {
      case Role.SYSTEM:
        return "system";
      case Role.DEVELOPER:
        return this.#knowsDeveloper ? "developer" : "system";
      case Role.USER:
        return "user";
      case Role.ASSISTANT:
        return "assistant";
      case Role.TOOL:
        return "tool";
      default:
        throw new NodeError(Code.INVALID_ARGUMENT, "A message has no role.", { param: "prompt.chat.messages" });
    }
  }

  /** Breaks every control-token text in a message by a border after its first character. */
  #asText(value: string, border: string): string {
    let text = value;
    for (const token of this.#source.controlTokens) {
      if (!text.includes(token)) continue;
      const head = String.fromCodePoint(token.codePointAt(0) as number);
      text = text.replaceAll(token, `${head}${border}${token.slice(head.length)}`);
    }
    return text;
  }

  #chooseBorder(chat: ChatPrompt): string {
    const parts = chat.messages.flatMap((m) => [
      m.content,
      m.reasoning,
      m.name,
      ...m.toolCalls.map((c) => c.arguments),
    ]);
    const border = borderCandidates.find((candidate) => !parts.some((part) => part.includes(candidate)));
    if (border !== undefined && !parts.some((part) => part.includes(endOfPrefix))) return border;
    throw new NodeError(Code.INVALID_ARGUMENT, "The messages hold Unicode noncharacters that no text contains.", {
      param: "prompt.chat.messages",
    });
  }
}

function templateTool(tool: Tool): unknown {
  return {
    type: "function",
    function: {
      name: tool.name,
      description: tool.description,
      parameters: tool.parametersJson === "" ? { type: "object", properties: {} } : JSON.parse(tool.parametersJson),
    },
  };
}

/** Templates differ in whether they take arguments as an object or as text; the object is what most expect. */
function parsedOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function markEndOfPrefix(messages: Record<string, unknown>[]): void {
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw new NodeError(Code.INVALID_ARGUMENT, "Only an assistant's message can be continued.", {
      param: "prompt.chat.messages",
    });
  }
  last.content = `${String(last.content)}${endOfPrefix}`;
}

function cutAtPrefix(rendered: string): string {
  const end = rendered.lastIndexOf(endOfPrefix);
  if (end >= 0) return rendered.slice(0, end);
  throw new NodeError(Code.FAILED_PRECONDITION, "The model's chat template cannot continue a message.", {
    param: "prompt.chat.continue_final_message",
  });
}
