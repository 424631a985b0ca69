// Ends the native engine at random moments, by kill -9 or by stopping it, and remembers when it was away.
import { setTimeout as sleep } from "node:timers/promises";
import { fetchRaw } from "../support/exchange.ts";
import type { Stack } from "../support/stack.ts";
import type { Random } from "./random.ts";

/** The times, in milliseconds of the soak's clock, when the engine was away by the soak's own hand. */
export class Outages {
  readonly #list: { fromMs: number; untilMs: number }[] = [];

  begin(nowMs: number): void {
    this.#list.push({ fromMs: nowMs, untilMs: Number.POSITIVE_INFINITY });
  }

  end(nowMs: number): void {
    const last = this.#list.at(-1);
    if (last !== undefined) last.untilMs = nowMs;
  }

  /** Whether one of them fell, in part or whole, into this time. */
  within(fromMs: number, untilMs: number): boolean {
    return this.#list.some((outage) => outage.fromMs <= untilMs && outage.untilMs >= fromMs);
  }
}

export interface KillerOptions {
  readonly stack: Stack;
  readonly random: Random;
  readonly outages: Outages;
  readonly now: () => number;
  /** Mean milliseconds between two kills. */
  readonly everyMs: number;
  /** Of the kills, those that only stop the process: the node has to see that it hangs. 0 to 1. */
  readonly hangShare: number;
  /** Most milliseconds until the engine answers again. */
  readonly backWithinMs: number;
  readonly onEvent: (sentence: string) => void;
}

/** Of the kills, those that meet the next engine, too, while it loads. */
const twiceShare = 0.2;
const lookEveryMs = 50;

export class Killer {
  readonly #options: KillerOptions;
  kills = 0;
  hangs = 0;
  /** Undefined as long as the engine came back each time. */
  fault: string | undefined;

  constructor(options: KillerOptions) {
    this.#options = options;
  }

  /** Kills until `signal` is aborted; the last one is waited for. */
  async run(signal: AbortSignal): Promise<void> {
    const { random, everyMs } = this.#options;
    while (this.fault === undefined) {
      try {
        await sleep(everyMs * (0.5 + random.next()), undefined, { signal });
      } catch {
        return;
      }
      await this.#strike();
    }
  }

  async #strike(): Promise<void> {
    const { stack, random, outages, now, hangShare, onEvent, backWithinMs } = this.#options;
    const victim = stack.pids.runtime;
    const hang = random.chance(hangShare);
    const twice = random.chance(twiceShare);
    if (victim === null) return;
    const beganMs = now();
    outages.begin(beganMs);
    this.#kill(victim, hang ? "SIGSTOP" : "SIGKILL");
    onEvent(`${hang ? "stopped" : "killed"} the engine, process ${victim}`);
    let successor = await this.#successorOf(victim, beganMs + backWithinMs);
    if (twice && successor !== undefined) {
      this.#kill(successor, "SIGKILL");
      onEvent(`killed its successor, process ${successor}, while it loaded`);
      successor = await this.#successorOf(successor, beganMs + backWithinMs);
    }
    const isBack = successor !== undefined && (await this.#until(() => this.#answers(), beganMs + backWithinMs));
    outages.end(now());
    if (isBack) onEvent(`the engine is back after ${Math.round(now() - beganMs)} ms`);
    else
      this.fault = `The engine was not back ${Math.round(backWithinMs / 1000)} s after process ${victim} was killed.`;
  }

  #kill(pid: number, signal: "SIGKILL" | "SIGSTOP"): void {
    try {
      process.kill(pid, signal);
    } catch {
      // It is gone already; then there is a successor soon.
    }
    if (signal === "SIGKILL") this.kills += 1;
    else this.hangs += 1;
  }

  async #successorOf(victim: number, deadlineMs: number): Promise<number | undefined> {
    const { stack } = this.#options;
    let pid: number | null = victim;
    const changed = await this.#until(() => {
      pid = stack.pids.runtime;
      return pid !== null && pid !== victim;
    }, deadlineMs);
    return changed ? pid : undefined;
  }

  async #answers(): Promise<boolean> {
    const { status } = await fetchRaw(`${this.#options.stack.url}/readyz`);
    return status === 200;
  }

  async #until(holds: () => Promise<boolean> | boolean, deadlineMs: number): Promise<boolean> {
    while (this.#options.now() < deadlineMs) {
      if (
        await Promise.resolve()
          .then(holds)
          .catch(() => false)
      )
        return true;
      await sleep(lookEveryMs);
    }
    return false;
  }
}
