// Counts a prompt before it is admitted: by the engine's tokenizer, or by a guess that says it is one.
import { type Thinking, Thinking_Effort, Thinking_Mode } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Prompt } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, invalid, NodeError } from "../../node-error.ts";
import type { PreparedPrompt } from "../../runtime.ts";
import { requireTextRoom } from "../../text-room.ts";
import type { FoundModel } from "./discover.ts";
import type { Flavor } from "./flavor.ts";
import type { JsonObject } from "./json.ts";
import { effortWords } from "./request-body.ts";
import type { ThinkingSwitch } from "./thinking-probe.ts";
import { type AskEngine, countChat, estimateTokens, textsOf, tokenize } from "./tokens.ts";

export interface UpstreamPrompt extends PreparedPrompt {
  /** Of a text: what it was counted as, where the engine takes ids. */
  readonly tokens?: readonly number[];
}

/** No tokenizer in use has longer ones that text is made of. */
export const longestTokenBytes = 128;

/** Rejects with OUT_OF_RANGE for texts that could never fit, INVALID_ARGUMENT for ids outside a known vocabulary. */
export async function preparePrompt(
  ask: AskEngine,
  flavor: Flavor,
  model: FoundModel,
  { prompt: { form }, thinking }: { prompt: Prompt; thinking: Thinking | undefined },
  signal: AbortSignal,
): Promise<UpstreamPrompt> {
  const { contextLength, vocabularySize, upstreamId } = model;
  const known = vocabularySize === undefined ? {} : { vocabularySize };
  if (form.case === "tokens") {
    const { ids } = form.value;
    const wrong = ids.find((id) => id >= (vocabularySize ?? Number.POSITIVE_INFINITY));
    if (wrong !== undefined) invalid("prompt.tokens.ids", `has ${wrong}, which is no token.`);
    return { promptTokens: ids.length, ...known };
  }
  if (form.case !== "chat" && form.case !== "text") {
    throw new NodeError(Code.FAILED_PRECONDITION, "The engine behind this model fills no holes.", {
      param: "prompt.fill_in_middle",
    });
  }
  const texts = form.case === "chat" ? textsOf(form.value) : [form.value];
  requireTextRoom(texts, { contextLength, longestTokenBytes }, "prompt");
  if (!model.counts) {
    const messages = form.case === "chat" ? form.value.messages.length + 1 : 0;
    return { promptTokens: estimateTokens(texts, messages), estimated: true };
  }
  const counted = { flavor, upstreamId };
  if (form.case === "chat") {
    const variables = templateVariables(thinking, model.thinking);
    const { count } = await countChat(ask, counted, form.value, signal, variables);
    return { promptTokens: count, ...known };
  }
  const tokens = await tokenize(ask, counted, form.value, { asPrompt: true, specialTokens: false }, signal);
  // llama-server would read special tokens in a text as such; as ids it takes them as they were counted.
  return { promptTokens: tokens.length, ...known, ...(flavor.name === "llama-server" && { tokens }) };
}

/** What the template is told of thinking when the request runs, so that it is counted as it will be rendered. */
function templateVariables(thinking: Thinking | undefined, by: ThinkingSwitch | undefined): JsonObject | undefined {
  const effort = effortWords[thinking?.effort ?? Thinking_Effort.UNSPECIFIED];
  const mode = thinking?.mode ?? Thinking_Mode.UNSPECIFIED;
  const switched = mode !== Thinking_Mode.UNSPECIFIED && (by === "enable_thinking" || by === "thinking");
  if (!switched && effort === "") return undefined;
  return {
    ...(switched && { [by]: mode === Thinking_Mode.ENABLED }),
    ...(effort !== "" && { reasoning_effort: effort }),
  };
}
