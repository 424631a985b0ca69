// The child's plain events as the contract's messages.
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  DeltaSchema,
  FinishedSchema,
  FinishReason,
  PrefilledSchema,
  TimingsSchema,
  type TokenLogprob,
  TokenLogprobSchema,
  TopLogprobSchema,
  UsageSchema,
} from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Code, NodeError } from "../../node-error.ts";
import type { RuntimeEvent } from "../../runtime.ts";
import type { FinishReasonName, GenerateOptions, GenerationEvent, TokenScore } from "./protocol.ts";

const reasons: Record<FinishReasonName, FinishReason> = {
  stop: FinishReason.STOP,
  stop_sequence: FinishReason.STOP_SEQUENCE,
  length: FinishReason.LENGTH,
  context_length: FinishReason.CONTEXT_LENGTH,
};

/** Translates one event; throws for those that end a generation without an answer. */
export function runtimeEvent(event: GenerationEvent, options: GenerateOptions, fingerprint: string): RuntimeEvent {
  switch (event.type) {
    case "prefilled":
      return {
        case: "prefilled",
        value: create(PrefilledSchema, {
          promptTokens: event.promptTokens,
          cachedTokens: event.cachedTokens,
          promptLogprobs: event.scores.map(tokenLogprob),
          systemFingerprint: fingerprint,
        }),
      };
    case "delta":
      return {
        case: "delta",
        value: create(DeltaSchema, {
          part: { case: "text", value: event.text },
          completionTokens: event.completionTokens,
          logprobs: event.scores.map(tokenLogprob),
        }),
      };
    case "finished":
      return {
        case: "finished",
        value: create(FinishedSchema, {
          reason: reasons[event.reason],
          stopSequence: event.stop,
          systemFingerprint: fingerprint,
          usage: create(UsageSchema, {
            promptTokens: options.tokens.length,
            cachedTokens: event.cachedTokens,
            completionTokens: event.completionTokens,
            acceptedPredictionTokens: event.guessedRight,
            rejectedPredictionTokens: event.guessedTokens - event.guessedRight,
          }),
          timings: create(TimingsSchema, {
            prefill: durationFromMs(Math.round(event.prefillMs)),
            decode: durationFromMs(Math.round(event.decodeMs)),
          }),
        }),
      };
    case "cancelled":
      throw new NodeError(Code.CANCELLED, "The caller cancelled the request.");
    case "failed":
      throw new NodeError(
        (event.code ?? Code.INTERNAL) as Code,
        event.message,
        event.param === undefined ? {} : { param: event.param },
      );
  }
}

function tokenLogprob({ id, bytes, logprob, top }: TokenScore): TokenLogprob {
  return create(TokenLogprobSchema, {
    tokenId: id,
    token: bytes as Uint8Array<ArrayBuffer>,
    logprob,
    top: top.map((entry) =>
      create(TopLogprobSchema, {
        tokenId: entry.id,
        token: entry.bytes as Uint8Array<ArrayBuffer>,
        logprob: entry.logprob,
      }),
    ),
  });
}
