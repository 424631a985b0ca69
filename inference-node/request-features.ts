// What a request may ask for that not every runtime honours, so that none of it is silently ignored.

import { type GenerateRequest, Thinking_Mode } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { ToolChoice_Mode } from "../proto/gen/sluice/inference/v1/prompt_pb.js";

/**
 * Optional behaviour, named by the request field that asks for it. What is not in this list (temperature, top_p, top_k,
 * min_p, the three penalties, seed, stop strings, max_tokens, chat prompts) every runtime honours.
 */
export type RequestFeature =
  | "choice_count"
  | "best_of"
  | "deterministic"
  | "echo"
  | "resumable"
  | "sampling.typical_p"
  | "sampling.logit_bias"
  | "stopping.stop_token_ids"
  | "stopping.min_tokens"
  | "stopping.ignore_eos"
  | "logprobs.prompt"
  | "thinking.budget_tokens"
  | "prompt.text"
  | "prompt.tokens"
  | "prompt.chat.continue_final_message";

/** The optional features that a request asks for. Values that mean "off" ask for nothing. */
export function requestedFeatures(request: GenerateRequest): RequestFeature[] {
  const { sampling, stopping, logprobs, thinking, prompt } = request;
  const chat = prompt?.form.case === "chat" ? prompt.form.value : undefined;
  const asked: [RequestFeature, boolean][] = [
    ["choice_count", request.choiceCount > 1],
    ["best_of", request.bestOf > 1],
    ["deterministic", request.deterministic],
    ["echo", request.echo],
    ["resumable", request.resumable],
    ["sampling.typical_p", sampling?.typicalP !== undefined && sampling.typicalP !== 1],
    ["sampling.logit_bias", (sampling?.logitBias.length ?? 0) > 0],
    ["stopping.stop_token_ids", (stopping?.stopTokenIds.length ?? 0) > 0],
    ["stopping.min_tokens", (stopping?.minTokens ?? 0) > 0],
    ["stopping.ignore_eos", stopping?.ignoreEos === true],
    ["logprobs.prompt", logprobs?.prompt === true],
    ["thinking.budget_tokens", (thinking?.budgetTokens ?? 0) > 0],
    ["prompt.text", prompt?.form.case === "text"],
    ["prompt.tokens", prompt?.form.case === "tokens"],
    ["prompt.chat.continue_final_message", chat?.continueFinalMessage === true],
  ];
  return asked.filter(([, wanted]) => wanted).map(([feature]) => feature);
}

/** A capability that a request needs of its model, and the request field that needs it. */
export interface NeededCapability {
  capability: Capability;
  param: string;
}

/** The capabilities that a request needs of its model. */
export function neededCapabilities(request: GenerateRequest): NeededCapability[] {
  const needed: NeededCapability[] = [];
  const form = request.prompt?.form;
  if (form?.case === "chat") {
    needed.push({ capability: Capability.CHAT, param: "prompt.chat" });
    const toolsOff = form.value.toolChoice?.mode === ToolChoice_Mode.NONE;
    if (form.value.tools.length > 0 && !toolsOff) {
      needed.push({ capability: Capability.TOOLS, param: "prompt.chat.tools" });
    }
  }
  if (form?.case === "fillInMiddle") {
    needed.push({ capability: Capability.FILL_IN_MIDDLE, param: "prompt.fill_in_middle" });
  }
  if (request.constraint?.kind.case !== undefined) {
    needed.push({ capability: Capability.STRUCTURED_OUTPUT, param: "constraint" });
  }
  if (request.logprobs?.output || request.logprobs?.prompt) {
    needed.push({ capability: Capability.LOGPROBS, param: "logprobs" });
  }
  const { thinking } = request;
  if (thinking?.mode === Thinking_Mode.ENABLED || thinking?.effort || thinking?.budgetTokens) {
    needed.push({ capability: Capability.REASONING, param: "thinking" });
  }
  return needed;
}
