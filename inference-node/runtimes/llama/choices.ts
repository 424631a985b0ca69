// Several answers to one prompt as one stream of events, and of more answers the likeliest.
import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Delta,
  type Finished,
  FinishedChoiceSchema,
  FinishedSchema,
  FinishReason,
  TimingsSchema,
  type Usage,
  UsageSchema,
} from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { RuntimeEvent } from "../../runtime.ts";

export interface ChoiceOptions {
  /** Answers that come back. */
  readonly count: number;
  /** Whether each token's log-probability goes out too; they are there anyway when the likeliest are chosen. */
  readonly logprobs: boolean;
}

interface Answer {
  readonly deltas: Delta[];
  logprobSum: number;
  tokens: number;
  finished: Finished | undefined;
}

/**
 * Merges the streams of answers to one prompt. With more streams than answers, those with the highest mean
 * log-probability come back, the likeliest first, when all have ended. Tokens of all streams are counted.
 *
 * The streams must end when the consumer stops: abort what feeds them in a `finally` around this.
 */
export async function* mergeChoices(
  streams: readonly AsyncIterable<RuntimeEvent>[],
  options: ChoiceOptions,
): AsyncGenerator<RuntimeEvent, void, undefined> {
  const choosing = streams.length > options.count;
  const answers = streams.map((): Answer => ({ deltas: [], logprobSum: 0, tokens: 0, finished: undefined }));
  let prefilled = false;
  for await (const { index, event } of inTurn(streams)) {
    const answer = answers[index] as Answer;
    if (event.case === "prefilled") {
      // The one that computed the prompt is the first to have it.
      if (!prefilled) yield event;
      prefilled = true;
    } else if (event.case === "finished") {
      answer.finished = event.value;
      answer.tokens = event.value.usage?.completionTokens ?? answer.tokens;
    } else {
      answer.tokens = event.value.completionTokens;
      answer.logprobSum += event.value.logprobs.reduce((sum, { logprob }) => sum + logprob, 0);
      event.value.choiceIndex = index;
      event.value.completionTokens = answers.reduce((sum, { tokens }) => sum + tokens, 0);
      if (choosing) answer.deltas.push(event.value);
      else yield event;
    }
  }
  const chosen = choosing ? likeliest(answers, options.count) : answers;
  if (choosing) {
    const completionTokens = answers.reduce((sum, { tokens }) => sum + tokens, 0);
    for (const [choiceIndex, { deltas }] of chosen.entries()) {
      for (const delta of deltas) {
        const logprobs = options.logprobs ? delta.logprobs : [];
        yield { case: "delta", value: { ...delta, choiceIndex, completionTokens, logprobs } };
      }
    }
  }
  yield { case: "finished", value: finishedOf(chosen, answers) };
}

function likeliest(answers: readonly Answer[], count: number): Answer[] {
  const score = ({ logprobSum, tokens }: Answer): number => (tokens === 0 ? -Infinity : logprobSum / tokens);
  return answers.toSorted((a, b) => score(b) - score(a)).slice(0, count);
}

function finishedOf(chosen: readonly Answer[], all: readonly Answer[]): Finished {
  const ended = all.flatMap(({ finished }) => (finished === undefined ? [] : [finished]));
  const longest = (of: "prefill" | "decode"): number =>
    Math.max(0, ...ended.map(({ timings }) => (timings?.[of] === undefined ? 0 : durationMs(timings[of]))));
  const [first] = chosen;
  return create(FinishedSchema, {
    reason: first?.finished?.reason ?? FinishReason.UNSPECIFIED,
    stopSequence: first?.finished?.stopSequence ?? "",
    systemFingerprint: ended[0]?.systemFingerprint ?? "",
    usage: usageOf(ended.map(({ usage }) => usage)),
    timings: create(TimingsSchema, {
      prefill: duration(longest("prefill")),
      decode: duration(longest("decode")),
    }),
    choices: chosen.map(({ finished }, choiceIndex) =>
      create(FinishedChoiceSchema, {
        choiceIndex,
        reason: finished?.reason ?? FinishReason.UNSPECIFIED,
        stopSequence: finished?.stopSequence ?? "",
      }),
    ),
  });
}

/** One prompt, and what all answers generated. */
function usageOf(usages: readonly (Usage | undefined)[]): Usage {
  const sum = (of: (usage: Usage) => number): number =>
    usages.reduce((total, usage) => total + (usage === undefined ? 0 : of(usage)), 0);
  return create(UsageSchema, {
    promptTokens: usages[0]?.promptTokens ?? 0,
    // What the others took was computed for this request.
    cachedTokens: Math.min(...usages.map((usage) => usage?.cachedTokens ?? 0)),
    completionTokens: sum(({ completionTokens }) => completionTokens),
    reasoningTokens: sum(({ reasoningTokens }) => reasoningTokens),
    acceptedPredictionTokens: sum(({ acceptedPredictionTokens }) => acceptedPredictionTokens),
    rejectedPredictionTokens: sum(({ rejectedPredictionTokens }) => rejectedPredictionTokens),
  });
}

function duration(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

/** Events of several streams as they come; a failure of one is thrown. */
async function* inTurn(
  streams: readonly AsyncIterable<RuntimeEvent>[],
): AsyncGenerator<{ index: number; event: RuntimeEvent }, void, undefined> {
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]());
  const next = async (index: number) => ({
    index,
    result: await (iterators[index] as (typeof iterators)[number]).next(),
  });
  const pending = new Map(iterators.map((_, index) => [index, next(index)]));
  // A second failure has nobody who waits for it.
  for (const promise of pending.values()) promise.catch(() => undefined);
  while (pending.size > 0) {
    const { index, result } = await Promise.race(pending.values());
    if (result.done) {
      pending.delete(index);
      continue;
    }
    yield { index, event: result.value };
    const following = next(index);
    following.catch(() => undefined);
    pending.set(index, following);
  }
}
