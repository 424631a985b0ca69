// Judges from outside whether a process that has work makes progress: one that hangs can't say so itself.
import type { Clock } from "../../clock.ts";

/**
 * Silence is counted in so many parts. A part counts once, however late this process wakes after it: what the other said
 * while this one was stopped or busy is read before the next part ends.
 */
const parts = 10;

export interface WatchdogOptions {
  readonly clock: Clock;
  /** Silence while there is work, in milliseconds, that means a hang; noticed at most a tenth later. */
  readonly timeoutMs: number;
  /** Called once a watch; the watch is over then. */
  readonly onSilent: () => void;
}

/** Watches while it is told that there is work. */
export class Watchdog {
  readonly #options: WatchdogOptions;
  #watching: AbortController | undefined;
  #progressed = false;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** There is work: the silence counts from now on, or goes on to count. */
  watch(): void {
    if (this.#watching !== undefined) return;
    this.#watching = new AbortController();
    void this.#run(this.#watching.signal);
  }

  /** A sign of progress: the silence counts anew. */
  progress(): void {
    this.#progressed = true;
  }

  /** There is no work any more. */
  rest(): void {
    this.#watching?.abort();
    this.#watching = undefined;
  }

  async #run(resting: AbortSignal): Promise<void> {
    const { clock, timeoutMs, onSilent } = this.#options;
    for (let silentParts = 0; silentParts < parts; ) {
      this.#progressed = false;
      await clock.sleep(timeoutMs / parts, resting).catch(() => undefined);
      if (resting.aborted) return;
      silentParts = this.#progressed ? 0 : silentParts + 1;
    }
    this.#watching = undefined;
    onSilent();
  }
}
