// The order in which targets are measured: in turns, so that a slow minute of the machine hits both.
import { setTimeout as sleep } from "node:timers/promises";
import type { PromptOptions } from "./prompts.ts";
import { BenchError, type RoundRecord, type Target } from "./target.ts";

export interface RoundsPlan {
  readonly rounds: number;
  /** Rounds before them that are not counted. */
  readonly warmup: number;
  /** Milliseconds of rest before each round: what the target before left undone should not cost the next. */
  readonly pauseMs: number;
}

interface Turn {
  /** Index of the target whose turn it is. */
  readonly index: number;
  /** From 0 with the warm-up's first round; equal for the targets that are compared with each other. */
  readonly ordinal: number;
  /** From 0; negative in the warm-up. */
  readonly round: number;
}

/** Whose turn it is, after a rest each time: A B, B A, A B …, so that neither always goes first. */
export async function* inTurns(targets: number, plan: RoundsPlan, signal: AbortSignal): AsyncGenerator<Turn> {
  const indexes = Array.from({ length: targets }, (_, index) => index);
  for (let round = -plan.warmup; round < plan.rounds; round++) {
    for (const index of round % 2 === 0 ? indexes : indexes.toReversed()) {
      await sleep(plan.pauseMs, undefined, { signal });
      yield { index, ordinal: round + plan.warmup, round };
    }
  }
}

/** How many rounds a plan has over all targets, for the progress bar. */
export function turnCount(targets: number, { rounds, warmup }: RoundsPlan): number {
  return (warmup + rounds) * targets;
}

/** The prompts of one target: two addresses may lead to one server, so each gets its own, lest it find the other's in a cache. */
export function promptsFor(target: Target, index: number, prompt: PromptOptions): PromptOptions {
  return target.remembers ? { ...prompt, seed: (prompt.seed + index * 0x10001) >>> 0 } : prompt;
}

/** A target that answers nothing has no figures: better one sentence than a table of dashes. */
export function throwIfNothingWorked(record: RoundRecord, target: Target): void {
  if (record.requests === 0 || record.errorCount < record.requests) return;
  const [reason] = record.errors.keys();
  throw new BenchError(`${target.label} failed every request of a round: ${reason ?? "no reason"}`);
}
