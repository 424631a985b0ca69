// Measures chats of several turns: how much sooner an answer begins when all but the new question was computed before.
import { setTimeout as sleep } from "node:timers/promises";
import { counted, letters } from "./format.ts";
import { inTurns, promptsFor, throwIfNothingWorked, turnCount } from "./in-turns.ts";
import { Progress } from "./progress.ts";
import { makePrompt, makeQuestion } from "./prompts.ts";
import { type ScenarioContext, serversOf } from "./scenario.ts";
import type { ServerTarget } from "./server-target.ts";
import { type ChatMessage, RoundRecord, type Sampling } from "./target.ts";
import { summarizeTurns, turnsHead, turnsLines, turnsNotes } from "./turns-report.ts";

interface ChatPlan {
  /** First prompts, one a stream. */
  readonly prompts: readonly string[];
  /** What each stream asks in each later turn. */
  readonly question: (stream: number, turn: number) => string;
  readonly turns: number;
  readonly sampling: Sampling;
  /** Milliseconds between the last answer of a turn and the next turn. */
  readonly pauseMs: number;
}

/**
 * Holds one chat a stream and gives a record of each turn. All streams begin a turn together: a later turn must not wait for
 * other streams' first ones. A chat that failed is not continued.
 */
export async function holdChats(target: ServerTarget, plan: ChatPlan, signal: AbortSignal): Promise<RoundRecord[]> {
  const records: RoundRecord[] = [];
  let chats: { stream: number; messages: ChatMessage[] }[] = plan.prompts.map((content, stream) => ({
    stream,
    messages: [{ role: "user", content }],
  }));
  for (let turn = 0; turn < plan.turns; turn++) {
    if (turn > 0) await sleep(plan.pauseMs, undefined, { signal });
    const record = new RoundRecord();
    const goOn = async (chat: (typeof chats)[number]): Promise<boolean> => {
      if (turn > 0) chat.messages.push({ role: "user", content: plan.question(chat.stream, turn) });
      const content = await target.answer(chat.messages, plan.sampling, record, signal);
      if (content !== undefined) chat.messages.push({ role: "assistant", content });
      return content !== undefined;
    };
    const went = await Promise.all(chats.map(goOn));
    chats = chats.filter((_, index) => went[index]);
    records.push(record);
  }
  return records;
}

/** Runs the scenario at each number of streams. */
export async function runTurns(context: ScenarioContext): Promise<void> {
  const { options, prompt, print, progressOutput, signal, findings } = context;
  const targets = serversOf(context.targets);
  const progress = new Progress(progressOutput, options.streams.length * turnCount(targets.length, options));
  let asked = 0;
  print("");
  print(turnsHead());
  try {
    for (const streams of options.streams) {
      const rounds: RoundRecord[][][] = targets.map(() => []);
      for await (const { index, ordinal, round } of inTurns(targets.length, options, signal)) {
        const target = targets[index];
        if (target === undefined) continue;
        progress.round(counted(streams, "chat"), round, options.rounds, letters[index] ?? "");
        const first = asked + ordinal * streams;
        const own = promptsFor(target, index, prompt);
        const records = await holdChats(
          target,
          {
            prompts: Array.from({ length: streams }, (_, stream) => makePrompt(own, first + stream)),
            question: (stream, turn) => makeQuestion(own.seed, (first + stream) * options.turns + turn),
            turns: options.turns,
            sampling: options,
            pauseMs: options.pauseMs,
          },
          signal,
        );
        for (const record of records) throwIfNothingWorked(record, target);
        if (round >= 0) rounds[index]?.push(records);
        progress.advance();
      }
      asked += turnCount(1, options) * streams;
      const summary = summarizeTurns(streams, rounds);
      findings.turns.push(summary);
      progress.clear();
      for (const line of [...turnsLines(summary), ...turnsNotes(summary)]) print(line);
    }
  } finally {
    progress.clear();
  }
}
