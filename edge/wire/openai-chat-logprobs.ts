// Token log-probabilities in OpenAI's shape.
import type { TokenLogprob } from "../../proto/gen/sluice/inference/v1/generate_pb.js";

/** JSON has no infinity; OpenAI writes this for what is all but impossible. */
const LOGPROB_MIN = -9999;

interface OpenAiTopLogprob {
  token: string;
  logprob: number;
  /** The token's bytes; `token` alone can't show a piece of a character. */
  bytes: number[];
}

export interface OpenAiTokenLogprob extends OpenAiTopLogprob {
  top_logprobs: OpenAiTopLogprob[];
}

const decoder = new TextDecoder();

/** One entry a token, in order. */
export function openAiLogprobs(tokens: readonly TokenLogprob[]): OpenAiTokenLogprob[] {
  return tokens.map(({ token, logprob, top }) => ({
    ...entry(token, logprob),
    top_logprobs: top.map((alternative) => entry(alternative.token, alternative.logprob)),
  }));
}

function entry(token: Uint8Array, logprob: number): OpenAiTopLogprob {
  return {
    token: decoder.decode(token),
    logprob: Number.isNaN(logprob) ? LOGPROB_MIN : Math.min(0, Math.max(LOGPROB_MIN, logprob)),
    bytes: [...token],
  };
}
