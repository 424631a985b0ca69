// Follows whether an engine answers: probes it, sooner when a request failed, with growing pauses while it is down.
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import { NodeError } from "../../node-error.ts";
import { sentenceOf } from "./discover.ts";
import { unreachable } from "./http.ts";

export interface HealthOptions {
  /** Rejects when the engine does not take work. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  /** Called when it answers again, before it counts as up: it may be another engine now. */
  readonly rediscover: (signal: AbortSignal) => Promise<void>;
  readonly onChange: (up: boolean) => void;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A busy engine may miss one probe; one that refuses connections is down at once. */
const failuresMax = 3;
const downPausesMs = [250, 500, 1_000, 2_000, 5_000];
/** Between two probes that failed requests asked for. */
const suspicionPauseMs = 100;

/** Starts up: whoever makes it has just heard the engine answer. */
export class Health {
  readonly #options: HealthOptions;
  readonly #closing = new AbortController();
  #wake = new AbortController();
  #suspected = false;
  #up = true;
  #failures = 0;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  get up(): boolean {
    return this.#up;
  }

  /** Probes until `close`. */
  async run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#pause();
      if (this.#closing.signal.aborted) return;
      this.#suspected = false;
      await this.#check();
    }
  }

  /** A request found the engine wanting: look at once. */
  suspect(): void {
    this.#suspected = true;
    this.#wake.abort();
  }

  close(): void {
    this.#closing.abort();
    this.#wake.abort();
  }

  async #pause(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    const downMs = downPausesMs[Math.min(this.#failures, downPausesMs.length) - 1] ?? intervalMs;
    const ms = this.#suspected ? suspicionPauseMs : this.#failures === 0 ? intervalMs : Math.min(downMs, intervalMs);
    this.#wake = new AbortController();
    const asleep = clock.sleep(ms, this.#wake.signal);
    if (this.#closing.signal.aborted) this.#wake.abort();
    await asleep.catch(() => undefined);
  }

  async #check(): Promise<void> {
    const { probe, rediscover } = this.#options;
    const { signal } = this.#closing;
    try {
      await probe(signal);
      if (!this.#up) await rediscover(signal);
      this.#failures = 0;
      this.#turn(true, undefined);
    } catch (thrown) {
      if (signal.aborted) return;
      this.#failures += 1;
      const gone = thrown instanceof NodeError && thrown.reason === unreachable;
      if (gone || this.#failures >= failuresMax) this.#turn(false, sentenceOf(thrown));
    }
  }

  #turn(up: boolean, message: string | undefined): void {
    if (up === this.#up) return;
    this.#up = up;
    if (up) this.#options.log({ level: "info", event: "upstream.up" });
    else this.#options.log({ level: "warn", event: "upstream.down", message });
    this.#options.onChange(up);
  }
}
