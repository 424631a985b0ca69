// Waits for an engine that may still be loading, as long as the operator has patience.
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import { sentenceOf, WrongEngine } from "./discover.ts";

export interface FirstContactOptions {
  /** Rejects with WrongEngine when waiting does not help. */
  readonly try: () => Promise<void>;
  readonly patienceMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const pausesMs = [250, 500, 1_000, 2_000];
/** Between two remarks in the log on what is waited for. */
const noticeMs = 10_000;

/** Resolves when the engine was found, or the signal is aborted. Rejects with a sentence for the operator. */
export async function firstContact(options: FirstContactOptions, signal: AbortSignal): Promise<void> {
  const { patienceMs, clock, log } = options;
  const until = clock.monotonic() + patienceMs;
  let noticeAt = clock.monotonic();
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      return await options.try();
    } catch (thrown) {
      if (signal.aborted) return;
      if (thrown instanceof WrongEngine) throw thrown;
      const message = sentenceOf(thrown);
      const pauseMs = pausesMs[Math.min(tries, pausesMs.length - 1)] ?? 0;
      if (clock.monotonic() + pauseMs > until) throw new Error(tooLate(message, patienceMs), { cause: thrown });
      if (clock.monotonic() >= noticeAt) {
        log({ level: "warn", event: "upstream.waiting", message });
        noticeAt = clock.monotonic() + noticeMs;
      }
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }
}

function tooLate(message: string, patienceMs: number): string {
  const waited = `Waited ${Math.round(patienceMs / 1_000)} s`;
  return `${message} ${waited}: start the engine, set SLUICE_OPENAI_URL to where it is, or raise SLUICE_OPENAI_START_TIMEOUT_MS.`;
}
