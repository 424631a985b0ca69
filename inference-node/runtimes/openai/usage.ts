// Reads what an engine counted, as it counted it.
import { create } from "@bufbuild/protobuf";
import { type Usage, UsageSchema } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { countField, field, objectOf } from "./json.ts";

/** The counts of `usage`, verbatim; undefined when there are none. */
export function readUsage(usage: unknown): Usage | undefined {
  if (objectOf(usage) === undefined) return undefined;
  const promptTokens = countField(usage, "prompt_tokens");
  const completionTokens = countField(usage, "completion_tokens");
  if (promptTokens === undefined && completionTokens === undefined) return undefined;
  const ofPrompt = field(usage, "prompt_tokens_details");
  const ofCompletion = field(usage, "completion_tokens_details");
  return create(UsageSchema, {
    promptTokens: promptTokens ?? 0,
    completionTokens: completionTokens ?? 0,
    cachedTokens: countField(ofPrompt, "cached_tokens") ?? countField(usage, "prompt_cache_hit_tokens") ?? 0,
    // SGLang has it at the top.
    reasoningTokens: countField(ofCompletion, "reasoning_tokens") ?? countField(usage, "reasoning_tokens") ?? 0,
    acceptedPredictionTokens: countField(ofCompletion, "accepted_prediction_tokens") ?? 0,
    rejectedPredictionTokens: countField(ofCompletion, "rejected_prediction_tokens") ?? 0,
  });
}

/** What two answers to one prompt cost, which was prefilled once. */
export function summed(one: Usage | undefined, other: Usage): Usage {
  if (one === undefined) return other;
  return create(UsageSchema, {
    promptTokens: Math.max(one.promptTokens, other.promptTokens),
    // Later answers take the prompt from the first: what that one took from elsewhere is what was reused.
    cachedTokens: Math.min(one.cachedTokens, other.cachedTokens),
    completionTokens: one.completionTokens + other.completionTokens,
    reasoningTokens: one.reasoningTokens + other.reasoningTokens,
    acceptedPredictionTokens: one.acceptedPredictionTokens + other.acceptedPredictionTokens,
    rejectedPredictionTokens: one.rejectedPredictionTokens + other.rejectedPredictionTokens,
  });
}
