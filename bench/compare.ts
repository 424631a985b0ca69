// Measures one or two targets at each number of streams, in turns, so that a slow minute of the machine hits both.
import { inTurns, promptsFor, type RoundsPlan, throwIfNothingWorked, turnCount } from "./in-turns.ts";
import { makePrompt, type PromptOptions, wordsForTokens } from "./prompts.ts";
import type { RoundRecord, Sampling, Target } from "./target.ts";

/** Words of the prompt that tells how many tokens the template and the closing request add. */
const probeWords = 32;

export interface ComparisonPlan extends RoundsPlan {
  readonly streams: readonly number[];
  readonly requestsPerStream: number;
  readonly sampling: Sampling;
  readonly prompt: PromptOptions;
}

/** What was measured at one number of streams: the rounds of each target, in order. */
export interface Level {
  readonly streams: number;
  readonly records: readonly (readonly RoundRecord[])[];
}

/** Told before and after each round, warm-up included. */
export interface ComparisonObserver {
  roundStarts(round: { streams: number; target: number; round: number; warmup: boolean }): void;
  roundEnded(): void;
}

/** How many rounds a plan has, for the progress bar. */
export function roundCount(plan: ComparisonPlan, targets: number): number {
  return plan.streams.length * turnCount(targets, plan);
}

/**
 * Yields each level when it is complete. Rejects with a BenchError when a whole round fails, or with the signal's reason.
 * Targets are indexed as given.
 */
export async function* compare(
  targets: readonly Target[],
  plan: ComparisonPlan,
  observer: ComparisonObserver,
  signal: AbortSignal,
): AsyncGenerator<Level> {
  let asked = 0;
  let group = 0;
  for (const streams of plan.streams) {
    const records: RoundRecord[][] = targets.map(() => []);
    const requests = streams * plan.requestsPerStream;
    for await (const { index, ordinal, round } of inTurns(targets.length, plan, signal)) {
      const target = targets[index];
      if (target === undefined) continue;
      observer.roundStarts({ streams, target: index, round, warmup: round < 0 });
      const prompts = promptsOf(promptsFor(target, index, plan.prompt), {
        streams,
        perStream: plan.requestsPerStream,
        ordinal: asked + ordinal * requests,
        // A shared prefix is new in each round: from the second on it would only show what a cache remembers.
        group: group + ordinal,
      });
      const record = await target.round({ streams: prompts, sampling: plan.sampling }, signal);
      throwIfNothingWorked(record, target);
      if (round >= 0) records[index]?.push(record);
      observer.roundEnded();
    }
    asked += turnCount(1, plan) * requests;
    group += turnCount(1, plan);
    yield { streams, records };
  }
}

/** Which prompts a round asks: so many a stream from this ordinal on, with their group's words in front. */
interface RoundPrompts {
  readonly streams: number;
  readonly perStream: number;
  readonly ordinal: number;
  readonly group: number;
}

function promptsOf(options: PromptOptions, { streams, perStream, ordinal, group }: RoundPrompts): string[][] {
  return Array.from({ length: streams }, (_, stream) =>
    Array.from({ length: perStream }, (_, request) =>
      makePrompt(options, ordinal + stream * perStream + request, group),
    ),
  );
}

/** The word count whose prompts have about `promptTokens` tokens for this target; asks it once. */
export async function fitPrompt(
  target: Target,
  promptTokens: number,
  sharedTokens: number,
  seed: number,
  signal: AbortSignal,
): Promise<PromptOptions> {
  const probe = { seed, wordCount: probeWords, sharedWords: 0 };
  // An ordinal that no round reaches.
  const counted = await target.countPromptTokens(makePrompt(probe, 0x7fffffff), signal);
  const wordCount = counted === undefined ? promptTokens : wordsForTokens(promptTokens, probeWords, counted);
  return { seed, wordCount, sharedWords: Math.min(sharedTokens, wordCount) };
}
