// A tool format bound to a template: how its calls are written there, and who tells the model which tools there are.
import type { ChatPrompt } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { CallStyle, ChatTemplate, RenderedPrompt } from "../chat-template.ts";
import { generic } from "./bare-json.ts";
import type { ToolFormat } from "./format.ts";
import { describeGeneric, genericChat } from "./generic-prompt.ts";

/** How tools are put before a model. */
export interface ToolBinding {
  readonly format: ToolFormat;
  readonly calls: CallStyle;
  /** `template`: the template lists the tools; `described`: a system text does, in the format's or the generic words. */
  readonly offered: "template" | "described";
}

/** Renders a chat, its tools included, as the binding wants it. */
export function renderBound(
  template: ChatTemplate,
  { format, calls, offered }: ToolBinding,
  chat: ChatPrompt,
  variables: Readonly<Record<string, unknown>> = {},
): RenderedPrompt {
  if (offered === "template") return template.render(chat, { variables, calls });
  const describe = format.describe ?? describeGeneric;
  const instructions = (safe: (text: string) => string): string => describe(chat.tools, safe);
  const plain = format.name === generic.name ? genericChat(chat) : { ...chat, tools: [] };
  return template.render(plain, { variables, calls, ...(chat.tools.length > 0 ? { instructions } : {}) });
}
