// Measures what a long prompt does to a stream that is running: its ITL before the prompt comes and while it is prefilled.
import { counted, letters } from "./format.ts";
import { Histogram } from "./histogram.ts";
import { inTurns, promptsFor, turnCount } from "./in-turns.ts";
import { Progress } from "./progress.ts";
import { makePrompt } from "./prompts.ts";
import { reasonOf } from "./reasons.ts";
import { type ScenarioContext, serversOf } from "./scenario.ts";
import type { ServerTarget } from "./server-target.ts";
import { type StallRounds, stallHead, stallLines, stallNotes, summarizeStall } from "./stall-report.ts";
import { BenchError, type Sampling } from "./target.ts";

export interface StallPlan {
  readonly prompt: string;
  readonly longPrompt: string;
  /** Of the running stream. */
  readonly sampling: Sampling;
  /** Pieces of the running stream before the long prompt is sent. */
  readonly quietTokens: number;
}

/** One round. Times are milliseconds. */
export interface StallRound {
  /** Gaps between two pieces of the running stream before the long prompt was sent. */
  readonly quiet: Histogram;
  /** Those that lie, in part at least, between its sending and its first token. */
  readonly during: Histogram;
  /** TTFT of the long prompt. */
  readonly longTtftMs: number;
  readonly longPromptTokens: number | undefined;
  /** Whether the running stream ended before the long prompt was in: what came later was not seen. */
  readonly endedEarly: boolean;
}

/** The running stream of a round: sorts its gaps by what went on meanwhile. */
class RunningStream {
  readonly quiet = new Histogram();
  readonly during = new Histogram();
  readonly #quietTokens: number;
  readonly #quietOver = Promise.withResolvers<void>();
  readonly #seenAll = Promise.withResolvers<void>();
  #pieces = 0;
  #previous = 0;
  /** When the long prompt was sent, and when its first token came. */
  #sentAt = Number.POSITIVE_INFINITY;
  #firstAt = Number.POSITIVE_INFINITY;
  ended = false;

  constructor(quietTokens: number) {
    this.#quietTokens = quietTokens;
    // Either may be given up before anybody waits for it.
    this.#quietOver.promise.catch(() => undefined);
  }

  readonly piece = (): void => {
    const now = performance.now();
    if (this.#pieces > 0) (now > this.#sentAt ? this.during : this.quiet).record(now - this.#previous);
    this.#previous = now;
    this.#pieces += 1;
    if (this.#pieces === this.#quietTokens + 1) this.#quietOver.resolve();
    // The gap that was open when the long prompt was in belongs to it; no later one does.
    if (now > this.#firstAt) this.#seenAll.resolve();
  };

  /** The stream is over, by itself or with an error. */
  end(error?: unknown): void {
    this.ended = true;
    const reason = new BenchError(`the stream ended after ${this.#pieces} pieces, before the long prompt was sent`);
    this.#quietOver.reject(error ?? reason);
    this.#seenAll.resolve();
  }

  /** Resolves when enough was seen of the stream alone, and marks the sending; rejects when it ended before. */
  async sendsNow(): Promise<number> {
    await this.#quietOver.promise;
    this.#sentAt = performance.now();
    return this.#sentAt;
  }

  /** The long prompt is in. */
  firstToken(): number {
    this.#firstAt = performance.now();
    return this.#firstAt;
  }

  /** Resolves when the gap is over in which the long prompt came in. */
  get seenAll(): Promise<void> {
    return this.#seenAll.promise;
  }
}

/** Runs one stream, sends the long prompt, and hangs up on the stream when that is in. Rejects with the first error. */
export async function stallRound(target: ServerTarget, plan: StallPlan, signal: AbortSignal): Promise<StallRound> {
  const running = new RunningStream(plan.quietTokens);
  const hangUp = new AbortController();
  const listening = AbortSignal.any([signal, hangUp.signal]);
  const stream = target.chat([{ role: "user", content: plan.prompt }], plan.sampling, running.piece, listening).then(
    () => running.end(),
    (error: unknown) => running.end(error),
  );
  try {
    const sentAt = await running.sendsNow();
    let firstAt: number | undefined;
    let endedEarly = false;
    const onText = (): void => {
      if (firstAt !== undefined) return;
      endedEarly = running.ended;
      firstAt = running.firstToken();
    };
    const sampling = { ...plan.sampling, maxTokens: 1 };
    const { usage } = await target.chat([{ role: "user", content: plan.longPrompt }], sampling, onText, signal);
    if (firstAt === undefined) throw new BenchError("the long prompt was answered without any text");
    await running.seenAll;
    const { quiet, during } = running;
    return { quiet, during, longTtftMs: firstAt - sentAt, longPromptTokens: usage?.promptTokens, endedEarly };
  } finally {
    hangUp.abort(new BenchError("seen enough"));
    await stream;
  }
}

/** Runs the scenario. */
export async function runStall(context: ScenarioContext): Promise<void> {
  const { options, prompt, print, progressOutput, signal, findings } = context;
  const targets = serversOf(context.targets);
  const { quietTokens, longPromptTokens } = options.stall;
  // One word is one token, so that the longer prompt needs as many words more.
  const longWords = Math.max(1, prompt.wordCount + longPromptTokens - options.promptTokens);
  const progress = new Progress(progressOutput, turnCount(targets.length, options));
  const rounds: StallRounds[] = targets.map(() => ({ seen: [], errors: {} }));
  try {
    for await (const { index, ordinal, round } of inTurns(targets.length, options, signal)) {
      const [target, own] = [targets[index], rounds[index]];
      if (target === undefined || own === undefined) continue;
      progress.round(`a prompt of ${counted(longPromptTokens, "token")}`, round, options.rounds, letters[index] ?? "");
      const words = promptsFor(target, index, prompt);
      const plan = {
        prompt: makePrompt(words, 2 * ordinal),
        longPrompt: makePrompt({ ...words, wordCount: longWords }, 2 * ordinal + 1),
        sampling: options,
        quietTokens,
      };
      try {
        const seen = await stallRound(target, plan, signal);
        if (round >= 0) own.seen.push(seen);
      } catch (error) {
        signal.throwIfAborted();
        // A server that can't do it at all should say so now.
        if (own.seen.length === 0) throw new BenchError(`${target.label}: ${reasonOf(error)}`);
        own.errors[reasonOf(error)] = (own.errors[reasonOf(error)] ?? 0) + 1;
      }
      progress.advance();
    }
  } finally {
    progress.clear();
  }
  findings.stall = summarizeStall(rounds);
  print("");
  for (const line of [stallHead(), ...stallLines(findings.stall), ...stallNotes(findings.stall)]) print(line);
}
