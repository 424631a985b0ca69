// Measures one or two targets at each number of streams, in turns, so that a slow minute of the machine hits both.
import { setTimeout as sleep } from "node:timers/promises";
import { makePrompt, type PromptOptions, wordsForTokens } from "./prompts.ts";
import { BenchError, type RoundRecord, type Sampling, type Target } from "./target.ts";

/** Words of the prompt that tells how many tokens the template and the closing request add. */
const probeWords = 32;

export interface ComparisonPlan {
  readonly streams: readonly number[];
  readonly rounds: number;
  readonly warmup: number;
  readonly requestsPerStream: number;
  readonly sampling: Sampling;
  readonly prompt: PromptOptions;
  /** Milliseconds of rest before each round: what the target before left undone should not cost the next. */
  readonly pauseMs: number;
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
  return plan.streams.length * (plan.warmup + plan.rounds) * targets;
}

/**
 * Yields each level when it is complete. Rejects with a BenchError when a whole round fails, or with the signal's reason.
 * Targets are indexed as given; their rounds alternate in order (A B, B A, A B …), so that neither always goes first.
 */
export async function* compare(
  targets: readonly Target[],
  plan: ComparisonPlan,
  observer: ComparisonObserver,
  signal: AbortSignal,
): AsyncGenerator<Level> {
  let ordinal = 0;
  for (const streams of plan.streams) {
    const records: RoundRecord[][] = targets.map(() => []);
    for (let round = -plan.warmup; round < plan.rounds; round++) {
      const requests = streams * plan.requestsPerStream;
      for (const index of orderOf(targets.length, round)) {
        const target = targets[index];
        if (target === undefined) continue;
        await sleep(plan.pauseMs, undefined, { signal });
        observer.roundStarts({ streams, target: index, round, warmup: round < 0 });
        // Two addresses may lead to one server: each gets prompts of its own, lest it find the other's in a prefix cache.
        const seed = target.remembers ? (plan.prompt.seed + index * 0x10001) >>> 0 : plan.prompt.seed;
        const prompts = promptsOf({ ...plan.prompt, seed }, streams, plan.requestsPerStream, ordinal);
        const record = await target.round({ streams: prompts, sampling: plan.sampling }, signal);
        throwIfNothingWorked(record, target);
        if (round >= 0) records[index]?.push(record);
        observer.roundEnded();
      }
      ordinal += requests;
    }
    yield { streams, records };
  }
}

function orderOf(targets: number, round: number): number[] {
  const order = Array.from({ length: targets }, (_, index) => index);
  return round % 2 === 0 ? order : order.reverse();
}

function promptsOf(options: PromptOptions, streams: number, perStream: number, ordinal: number): string[][] {
  return Array.from({ length: streams }, (_, stream) =>
    Array.from({ length: perStream }, (_, request) => makePrompt(options, ordinal + stream * perStream + request)),
  );
}

/** A target that answers nothing has no figures: better one sentence than a table of dashes. */
function throwIfNothingWorked(record: RoundRecord, target: Target): void {
  if (record.requests === 0 || record.errorCount < record.requests) return;
  const [reason] = record.errors.keys();
  throw new BenchError(`${target.label} failed every request of a round: ${reason ?? "no reason"}`);
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
