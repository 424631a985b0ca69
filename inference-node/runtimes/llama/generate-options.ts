// A request in the child's words: what it computes, samples with, and ends at.
import { randomBytes } from "node:crypto";
import type { GenerateRequest } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { PreparedPrompt, RuntimeRequest } from "../../runtime.ts";
import type { RenderedChat } from "../../tool-formats/chat-format.ts";
import type { Chats } from "./chats.ts";
import type { LlamaRuntimeOptions, SamplingDefaults } from "./model-options.ts";
import type { GenerateOptions, SamplingOptions } from "./protocol.ts";

export interface LlamaPrompt extends PreparedPrompt {
  readonly tokens: Uint32Array;
  /** Undefined unless the prompt is a chat. */
  readonly chat: RenderedChat | undefined;
}

/** Throws INVALID_ARGUMENT for a constraint that the engine can't hold. */
export function generateOptions(
  { request, prepared, maxTokens }: RuntimeRequest,
  { guessTokensMax, samplingDefaults }: Pick<LlamaRuntimeOptions, "guessTokensMax" | "samplingDefaults">,
  chats: Chats,
  contextLength: number,
): GenerateOptions {
  const { logprobs, stopping, prefixCache, deterministic } = request;
  const { tokens, chat } = prepared as LlamaPrompt;
  const top = logprobs?.top ?? 0;
  return {
    requestId: request.requestId,
    tokens,
    ...chats.childOptions(chat, stopping?.stopStrings ?? []),
    maxTokens,
    limitedByContext: stopping?.maxTokens === undefined && prepared.promptTokens + maxTokens >= contextLength,
    sampling: samplingOptions(request, samplingDefaults),
    stopTokenIds: stopping?.stopTokenIds ?? [],
    logprobs: logprobs?.output ? { top } : undefined,
    promptLogprobs: logprobs?.prompt ? { top } : undefined,
    prefixSalt: deterministic || prefixCache?.disabled ? undefined : (prefixCache?.salt ?? ""),
    deterministic,
    grammar: chats.grammar(chat, request),
    guessTokensMax: guessTokensMax ?? 0,
  };
}

function samplingOptions(
  { sampling, stopping }: GenerateRequest,
  defaults: SamplingDefaults | undefined,
): SamplingOptions {
  return {
    temperature: sampling?.temperature ?? defaults?.temperature ?? 1,
    topP: sampling?.topP ?? defaults?.topP ?? 1,
    topK: sampling?.topK ?? 0,
    minP: sampling?.minP ?? 0,
    presencePenalty: sampling?.presencePenalty ?? 0,
    frequencyPenalty: sampling?.frequencyPenalty ?? 0,
    repetitionPenalty: sampling?.repetitionPenalty ?? 1,
    seed: sampling?.seed === undefined ? randomBytes(4).readUInt32LE() : foldSeed(sampling.seed),
    logitBias: sampling?.logitBias.map(({ tokenId, bias }) => ({ tokenId, bias })) ?? [],
    ignoreEos: stopping?.ignoreEos ?? false,
    minTokens: stopping?.minTokens ?? 0,
  };
}

/** One of several answers: with a seed of its own, and a prompt that is computed once for all of them. */
export function optionsOfChoice(
  options: GenerateOptions,
  index: number,
  { bestOf, choiceCount, deterministic }: GenerateRequest,
): GenerateOptions {
  const { sampling, logprobs, prefixSalt, requestId } = options;
  const ranked = bestOf > Math.max(1, choiceCount);
  // No prompt of another request has this salt: what reads and leaves nothing still shares with itself.
  const ownSalt = `\u0000${requestId}`;
  return {
    ...options,
    sampling: { ...sampling, seed: (sampling.seed + index) >>> 0 },
    logprobs: logprobs ?? (ranked ? { top: 0 } : undefined),
    prefixSalt: deterministic ? undefined : (prefixSalt ?? ownSalt),
  };
}

/** The engine seeds by 32 bits; both halves of a longer seed count. */
function foldSeed(seed: bigint): number {
  return Number((seed ^ (seed >> 32n)) & 0xffffffffn);
}
