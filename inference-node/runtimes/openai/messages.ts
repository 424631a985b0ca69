// Writes a chat's messages and tools in the shapes of the OpenAI API, for the kind of engine that reads them.

import {
  type ChatPrompt,
  type Message,
  Role,
  type Tool,
  ToolChoice_Mode,
} from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, NodeError } from "../../node-error.ts";
import type { Flavor, FlavorName } from "./flavor.ts";
import type { JsonObject } from "./json.ts";

const roles: Readonly<Record<Role, string>> = {
  [Role.UNSPECIFIED]: "user",
  [Role.SYSTEM]: "system",
  [Role.DEVELOPER]: "developer",
  [Role.USER]: "user",
  [Role.ASSISTANT]: "assistant",
  [Role.TOOL]: "tool",
};
/** These know the role themselves; the templates behind the others mostly do not, and system is what it then means. */
const knowDeveloper: ReadonlySet<FlavorName> = new Set(["openai", "llama-server", "sluice"]);

/** Throws UNIMPLEMENTED, with `param`, for what the engine does not take. */
export function unsupported(param: string, why: string): never {
  throw new NodeError(Code.UNIMPLEMENTED, `${param} is not supported by the engine behind this model: ${why}.`, {
    param,
    reason: "UNSUPPORTED",
  });
}

/** The fields of a chat: messages, tools, and how they may be used. */
export function chatFields(chat: ChatPrompt, flavor: Flavor): JsonObject {
  refuseUnwantedContinuation(chat, flavor);
  return {
    messages: chat.messages.map((message, index) => messageOf(message, flavor, isPrefix(chat, index, flavor))),
    ...continuation(chat, flavor),
    ...toolFields(chat, flavor),
  };
}

function isPrefix({ messages, continueFinalMessage }: ChatPrompt, index: number, { chat }: Flavor): boolean {
  return continueFinalMessage && chat.has("prefix") && index === messages.length - 1;
}

/** llama-server goes on writing a final assistant message unasked, and no field stops it. */
function refuseUnwantedContinuation({ messages, continueFinalMessage }: ChatPrompt, { name }: Flavor): void {
  if (name !== "llama-server" || continueFinalMessage || messages.at(-1)?.role !== Role.ASSISTANT) return;
  unsupported("prompt.chat.messages", "it goes on with a final assistant message instead of answering it");
}

function continuation({ continueFinalMessage }: ChatPrompt, { chat }: Flavor): JsonObject {
  if (!continueFinalMessage || chat.has("prefix")) return {};
  if (!chat.has("continue_final_message")) {
    unsupported("prompt.chat.continue_final_message", "it begins a new message always");
  }
  return {
    continue_final_message: true,
    ...(chat.has("add_generation_prompt") && { add_generation_prompt: false }),
  };
}

function messageOf(message: Message, { name }: Flavor, prefix: boolean): JsonObject {
  const { role, content, toolCalls, reasoning } = message;
  const developerAsSystem = role === Role.DEVELOPER && !knowDeveloper.has(name);
  return {
    role: developerAsSystem ? "system" : roles[role],
    content: content === "" && toolCalls.length > 0 ? null : content,
    ...(message.name !== "" && { name: message.name }),
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    // vLLM from 0.16 on reads this name.
    ...(reasoning !== "" && name === "vllm" && { reasoning }),
    ...(toolCalls.length > 0 && {
      tool_calls: toolCalls.map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      })),
    }),
    ...(role === Role.TOOL && { tool_call_id: message.toolCallId }),
    ...(prefix && { prefix: true }),
  };
}

function toolFields(chat: ChatPrompt, flavor: Flavor): JsonObject {
  const { tools, toolChoice, parallelToolCalls } = chat;
  if (tools.length === 0) return {};
  if (!flavor.chat.has("tools")) unsupported("prompt.chat.tools", "it takes none");
  const allowed = new Set(toolChoice?.allowedNames ?? []);
  // Engines without a list of allowed tools are offered no others.
  const offered = allowed.size === 0 || listsAllowed(flavor) ? tools : tools.filter((tool) => allowed.has(tool.name));
  if (parallelToolCalls === false && !flavor.chat.has("parallel_tool_calls")) {
    unsupported("prompt.chat.parallel_tool_calls", "it makes as many calls as it likes");
  }
  return {
    tools: offered.map(toolOf),
    tool_choice: toolChoiceOf(chat, flavor),
    ...(parallelToolCalls !== undefined &&
      flavor.chat.has("parallel_tool_calls") && { parallel_tool_calls: parallelToolCalls }),
  };
}

function listsAllowed({ name }: Flavor): boolean {
  return name === "openai" || name === "sluice";
}

function toolOf({ name, description, parametersJson, strict }: Tool): JsonObject {
  const parameters =
    parametersJson === "" ? { type: "object", properties: {} } : (JSON.parse(parametersJson) as unknown);
  return {
    type: "function",
    function: { name, ...(description !== "" && { description }), parameters, ...(strict && { strict }) },
  };
}

function toolChoiceOf({ toolChoice }: ChatPrompt, flavor: Flavor): unknown {
  const mode = toolChoice?.mode ?? ToolChoice_Mode.UNSPECIFIED;
  if (mode === ToolChoice_Mode.NONE) return "none";
  if (mode === ToolChoice_Mode.NAMED) return { type: "function", function: { name: toolChoice?.name } };
  const word = mode === ToolChoice_Mode.REQUIRED ? "required" : "auto";
  const allowed = toolChoice?.allowedNames ?? [];
  if (allowed.length === 0 || !listsAllowed(flavor)) return word;
  const tools = allowed.map((name) => ({ type: "function", function: { name } }));
  return { type: "allowed_tools", allowed_tools: { mode: word, tools } };
}
