// Renders a chat by the model's own Jinja template, with the user's text kept text.
import { createHash } from "node:crypto";
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

/** Templates differ in how they want the same calls. */
export interface CallStyle {
  /** The arguments as an object, or as JSON text. */
  readonly argumentsAs: "object" | "text";
  /** The content of a message that only calls. */
  readonly emptyContent: "" | null;
  /** Calls that the template takes in one message; more become messages of their own, each before its result. */
  readonly callsInMessageMax: number;
  /** Ids of another shape are replaced by ones of nine letters and digits. */
  readonly callId: RegExp | undefined;
}

export const plainCalls: CallStyle = {
  argumentsAs: "object",
  emptyContent: "",
  callsInMessageMax: Number.POSITIVE_INFINITY,
  callId: undefined,
};

export interface RenderOptions {
  readonly calls?: CallStyle | undefined;
  /** Variables of the template beside those that all have. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** A text put before the system message's; `safe` keeps what it is given from being control. */
  readonly instructions?: ((safe: (text: string) => string) => string) | undefined;
}

/** Noncharacters stand for a border; one that no message contains is chosen. */
const borderCandidates = ["\uFDD0", "\uFDD1", "\uFDD2", "\uFDD3", "\uFDD4", "\uFDD5", "\uFDD6", "\uFDD7"];

const endOfPrefix = "\uFDEF";

type TemplateMessage = Record<string, unknown> & { role: string };

/** A compiled chat template. Construction throws when the template does not parse. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #source: ChatTemplateSource;
  readonly #knowsDeveloper: boolean;
  /** Matches the first character of every control token's text, also where one begins inside another. */
  readonly #controlStart: RegExp | undefined;
  #takesSystem: boolean | undefined;

  constructor(source: ChatTemplateSource) {
    this.#source = source;
    this.#template = new Template(source.template);
    this.#knowsDeveloper = source.template.includes("developer");
    const tokens = source.controlTokens.filter((token) => token !== "").map(escapeForRegExp);
    this.#controlStart = tokens.length === 0 ? undefined : new RegExp(`(?=${tokens.join("|")}).`, "gsu");
  }

  /**
   * Renders a chat. Throws INVALID_ARGUMENT with the template's own words when it refuses the messages (many refuse
   * roles that do not alternate).
   */
  render(chat: ChatPrompt, options: RenderOptions = {}): RenderedPrompt {
    const plain = {
      messages: this.#messages(chat, options.calls ?? plainCalls),
      tools: chat.tools.map(templateTool),
    };
    const border = chooseBorder(plain);
    const safe = (text: string): string => this.#asText(text, border);
    const messages = plain.messages.map(
      ({ role, ...rest }): TemplateMessage => ({ ...(mapTexts(rest, safe) as object), role }),
    );
    if (options.instructions) this.#instruct(messages, options.instructions(safe));
    if (chat.continueFinalMessage) markEndOfPrefix(messages);
    const rendered = this.#renderTemplate({
      ...options.variables,
      messages,
      ...(plain.tools.length > 0 ? { tools: mapTexts(plain.tools, safe) } : {}),
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
      // Templates for tool use alone go through the list of tools, be it empty.
      if (context.tools === undefined) return this.#renderTemplate({ ...context, tools: [] });
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw new NodeError(Code.INVALID_ARGUMENT, `The model's chat template refuses these messages: ${reason}`, {
        param: "prompt.chat.messages",
        reason: "CHAT_TEMPLATE_REFUSED",
        cause: thrown,
      });
    }
  }

  #messages(chat: ChatPrompt, style: CallStyle): TemplateMessage[] {
    const names = new Map(chat.messages.flatMap(({ toolCalls }) => toolCalls.map(({ id, name }) => [id, name])));
    const messages = withinCallLimit(chat.messages, style.callsInMessageMax);
    return messages.map((message) => this.#message(message, style, names));
  }

  #message(message: Message, style: CallStyle, names: ReadonlyMap<string, string>): TemplateMessage {
    const name = message.name || (message.role === Role.TOOL ? (names.get(message.toolCallId) ?? "") : "");
    const onlyCalls = message.content === "" && message.toolCalls.length > 0;
    const id = (text: string): string => fittingId(text, style.callId);
    return {
      role: this.#roleName(message.role),
      content: onlyCalls ? style.emptyContent : message.content,
      ...(name === "" ? {} : { name }),
      ...this.#reasoning(message),
      ...(message.toolCallId === "" ? {} : { tool_call_id: id(message.toolCallId) }),
      ...(message.toolCalls.length === 0
        ? {}
        : {
            tool_calls: message.toolCalls.map((call) => ({
              id: id(call.id),
              type: "function",
              function: {
                name: call.name,
                arguments: style.argumentsAs === "object" ? parsedOrText(call.arguments) : call.arguments || "{}",
              },
            })),
          }),
    };
  }

  /** gpt-oss and a few others call it thinking, and take it or content with a call, not both. */
  #reasoning({ reasoning, content, toolCalls }: Message): Record<string, unknown> {
    if (reasoning === "") return {};
    const alsoThinking = this.#source.template.includes(".thinking") && (content === "" || toolCalls.length === 0);
    return { reasoning_content: reasoning, ...(alsoThinking ? { thinking: reasoning } : {}) };
  }

  /** Puts a text before the system message's, or before the first user message's where the template has no system. */
  #instruct(messages: TemplateMessage[], text: string): void {
    this.#takesSystem ??= this.#tryWithSystem();
    const role = this.#takesSystem ? ["system", "developer"] : ["user"];
    const target = messages.find((message) => role.includes(message.role));
    if (target !== undefined) target.content = `${text}\n\n${String(target.content)}`;
    else messages.unshift({ role: role[0] as string, content: text });
  }

  #tryWithSystem(): boolean {
    const messages = [
      { role: "system", content: "S\uFDD0S" },
      { role: "user", content: "." },
    ];
    const { bosToken: bos_token, eosToken: eos_token } = this.#source;
    try {
      const context = { messages, add_generation_prompt: true, bos_token, eos_token };
      return this.#template.render(context).includes("S\uFDD0S");
    } catch {
      return false;
    }
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

  /** Breaks every control-token text by a border after its first character. */
  #asText(value: string, border: string): string {
    return this.#controlStart === undefined ? value : value.replace(this.#controlStart, (first) => first + border);
  }
}

function escapeForRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** A border that occurs in none of the texts. */
function chooseBorder(context: unknown): string {
  const found = new Set<string>();
  mapTexts(context, (text) => {
    for (const [char] of text.matchAll(/[\uFDD0-\uFDEF]/g)) found.add(char);
    return text;
  });
  const border = borderCandidates.find((candidate) => !found.has(candidate));
  if (border !== undefined && !found.has(endOfPrefix)) return border;
  throw new NodeError(Code.INVALID_ARGUMENT, "The messages hold Unicode noncharacters that no text contains.", {
    param: "prompt.chat.messages",
  });
}

/** Deepest nesting of a tool's schema; a template's own recursion would not go further either. */
const depthMax = 200;

/** The same value with every text in it, keys included, replaced. */
function mapTexts(value: unknown, replace: (text: string) => string, depth = 0): unknown {
  if (typeof value === "string") return replace(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > depthMax) {
    throw new NodeError(Code.INVALID_ARGUMENT, `A tool or its arguments nest more than ${depthMax} levels.`, {
      param: "prompt.chat",
    });
  }
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, replace, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [replace(key), mapTexts(item, replace, depth + 1)]),
  );
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

/** Arguments as the object that most templates expect; what is no JSON stays text. */
function parsedOrText(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The same id where it fits, and otherwise always the same one that does. */
function fittingId(id: string, pattern: RegExp | undefined): string {
  if (pattern === undefined || pattern.test(id)) return id;
  return createHash("sha256").update(id).digest("hex").slice(0, 9);
}

/** Messages with more calls than the template takes, as several, each with the results of its calls behind it. */
function withinCallLimit(messages: readonly Message[], max: number): readonly Message[] {
  if (!messages.some(({ toolCalls }) => toolCalls.length > max)) return messages;
  const out: Message[] = [];
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at] as Message;
    if (message.toolCalls.length <= max) {
      out.push(message);
      continue;
    }
    let end = at + 1;
    while (messages[end]?.role === Role.TOOL) end += 1;
    const results = messages.slice(at + 1, end);
    for (let first = 0; first < message.toolCalls.length; first += max) {
      const toolCalls = message.toolCalls.slice(first, first + max);
      const ids = new Set(toolCalls.map(({ id }) => id));
      out.push(first === 0 ? { ...message, toolCalls } : { ...message, content: "", reasoning: "", toolCalls });
      out.push(...results.filter(({ toolCallId }) => ids.has(toolCallId)));
    }
    const all = new Set(message.toolCalls.map(({ id }) => id));
    out.push(...results.filter(({ toolCallId }) => !all.has(toolCallId)));
    at = end - 1;
  }
  return out;
}

function markEndOfPrefix(messages: TemplateMessage[]): void {
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw new NodeError(Code.INVALID_ARGUMENT, "Only an assistant's message can be continued.", {
      param: "prompt.chat.messages",
    });
  }
  last.content = `${String(last.content ?? "")}${endOfPrefix}`;
}

function cutAtPrefix(rendered: string): string {
  const end = rendered.lastIndexOf(endOfPrefix);
  if (end >= 0) return rendered.slice(0, end);
  throw new NodeError(Code.FAILED_PRECONDITION, "The model's chat template cannot continue a message.", {
    param: "prompt.chat.continue_final_message",
  });
}
