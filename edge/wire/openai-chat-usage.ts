// Token counts in OpenAI's shape, with DeepSeek's two cache counters.
import type { Usage } from "../../proto/gen/sluice/inference/v1/generate_pb.js";

export interface OpenAiUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number; audio_tokens: number };
  completion_tokens_details: {
    reasoning_tokens: number;
    audio_tokens: number;
    accepted_prediction_tokens: number;
    rejected_prediction_tokens: number;
  };
  prompt_cache_hit_tokens: number;
  prompt_cache_miss_tokens: number;
}

/** The node's counts, as they are. */
export function openAiUsage(usage: Usage | undefined): OpenAiUsage {
  const prompt = usage?.promptTokens ?? 0;
  const cached = usage?.cachedTokens ?? 0;
  const completion = usage?.completionTokens ?? 0;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: usage?.reasoningTokens ?? 0,
      audio_tokens: 0,
      accepted_prediction_tokens: usage?.acceptedPredictionTokens ?? 0,
      rejected_prediction_tokens: usage?.rejectedPredictionTokens ?? 0,
    },
    prompt_cache_hit_tokens: cached,
    prompt_cache_miss_tokens: prompt - cached,
  };
}
