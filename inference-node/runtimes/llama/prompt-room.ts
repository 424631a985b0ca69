// Refuses a prompt that can't fit before it goes to the process that all streams share.
import type { Message, Prompt, Tool } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { type Room, requireCountable, requireTextRoom } from "../../text-room.ts";

/** Throws OUT_OF_RANGE for a prompt whose own texts or tokens are far too many, whatever the template makes of them. */
export function requirePromptRoom({ form }: Prompt, room: Room): void {
  if (form.case === "tokens") requireCountable(form.value.ids.length, room.contextLength, "prompt");
  else requireTextRoom(textsOf(form), room, "prompt");
}

function textsOf(form: Prompt["form"]): string[] {
  if (form.case === "text") return [form.value];
  if (form.case === "fillInMiddle") return [form.value.prefix, form.value.suffix];
  if (form.case === "chat")
    return [...form.value.messages.flatMap(messageTexts), ...form.value.tools.flatMap(toolTexts)];
  return [];
}

function messageTexts({ content, name, reasoning, toolCalls, toolCallId }: Message): string[] {
  return [content, name, reasoning, toolCallId, ...toolCalls.flatMap((call) => [call.id, call.name, call.arguments])];
}

function toolTexts({ name, description, parametersJson }: Tool): string[] {
  return [name, description, parametersJson];
}
