// When a crashed service is started again, and when that is given up.

const DELAYS_MS = [0, 500, 1_000, 2_000, 5_000];
/** Crashes older than this are forgiven, in milliseconds. */
const WINDOW_MS = 60_000;

export class RestartPolicy {
  #crashes: number[] = [];

  /** Milliseconds to wait before the next start after a crash at `now`; undefined when it crashes too often. */
  delayAfterCrash(now: number): number | undefined {
    this.#crashes = this.#crashes.filter((at) => now - at < WINDOW_MS);
    const delay = DELAYS_MS[this.#crashes.length];
    this.#crashes.push(now);
    return delay;
  }
}
