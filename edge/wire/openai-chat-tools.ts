// The tools of a chat and the choice among them, from OpenAI's shapes into the contract's.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ToolChoice_Mode,
  type ToolChoiceSchema,
  type ToolSchema,
} from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { ApiError } from "../errors.ts";
import type { ChatBody } from "./openai-chat-schema.ts";

type ToolInit = MessageInitShape<typeof ToolSchema> & { name: string };
type ToolChoiceInit = MessageInitShape<typeof ToolChoiceSchema>;

const MODES = {
  none: ToolChoice_Mode.NONE,
  auto: ToolChoice_Mode.AUTO,
  required: ToolChoice_Mode.REQUIRED,
} as const;

/**
 * The functions on offer.
 *
 * @throws ApiError `unsupported_parameter` for a tool that is no function, `invalid_request` for two of one name.
 */
export function toolsOf(tools: NonNullable<ChatBody["tools"]>): ToolInit[] {
  const names = new Set<string>();
  return tools.map((tool, at) => {
    if (tool.type !== "function") {
      const param = `tools[${at}].type`;
      throw new ApiError("unsupported_parameter", `\`${param}\` must be "function".`, { param });
    }
    const offered = tool.function;
    if (offered === undefined) throw invalid(`tools[${at}].function`, "it is required");
    if (names.has(offered.name)) throw invalid(`tools[${at}].function.name`, "another tool has this name");
    names.add(offered.name);
    return {
      name: offered.name,
      description: offered.description ?? "",
      parametersJson: offered.parameters == null ? "" : JSON.stringify(offered.parameters),
      strict: offered.strict ?? false,
    };
  });
}

/**
 * How the tools may be used; undefined when the request leaves it open.
 *
 * @throws ApiError `invalid_request` for a choice among tools that are not there.
 */
export function toolChoiceOf(
  choice: ChatBody["tool_choice"],
  tools: readonly { name: string }[],
): ToolChoiceInit | undefined {
  if (choice === undefined) return undefined;
  if (choice === "none" || choice === "auto") return tools.length === 0 ? undefined : { mode: MODES[choice] };
  if (tools.length === 0) throw invalid("tool_choice", "there are no `tools` to choose from");
  if (choice === "required") return { mode: MODES.required };
  if (choice.type === "function") {
    return { mode: ToolChoice_Mode.NAMED, name: offeredName(choice.function.name, tools) };
  }
  const { mode, tools: allowed } = choice.allowed_tools;
  return { mode: MODES[mode], allowedNames: allowed.map((tool) => offeredName(tool.function.name, tools)) };
}

function offeredName(name: string, tools: readonly { name: string }[]): string {
  if (!tools.some((tool) => tool.name === name)) throw invalid("tool_choice", "no tool has that name");
  return name;
}

function invalid(param: string, why: string): ApiError {
  return new ApiError("invalid_request", `\`${param}\` is invalid: ${why}.`, { param });
}
