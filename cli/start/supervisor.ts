// Keeps one service running: starts it again when it crashes, and says when that is hopeless.
import { setTimeout as sleep } from "node:timers/promises";
import { RestartPolicy } from "./restart-policy.ts";
import type { Exit, Service } from "./service.ts";

export interface Supervision {
  /** The service's name in sentences: "The node". */
  name: string;
  start: () => Promise<Service>;
  /** Told whenever the service has started or ended. */
  onChange: () => void;
  /** Told of each crash that is answered by a new start. */
  onCrash: (sentence: string) => void;
  /** Told once, when the service crashes too often or cannot be started any more. */
  onGivenUp: (sentence: string) => void;
  now: () => number;
}

/** How a process ended, in words. */
export function describeExit(exit: Exit): string {
  return exit.signal === null ? `exit code ${exit.code}` : exit.signal;
}

export class Supervisor {
  readonly #supervision: Supervision;
  readonly #policy = new RestartPolicy();
  readonly #stopping = new AbortController();
  #service: Service | undefined;

  constructor(supervision: Supervision) {
    this.#supervision = supervision;
  }

  /** The running service; undefined between a crash and the next start. */
  get service(): Service | undefined {
    return this.#service?.ended === false ? this.#service : undefined;
  }

  /** Starts the service for the first time. Crashes are answered only after `keep`. */
  async start(): Promise<Service> {
    this.#service = await this.#supervision.start();
    return this.#service;
  }

  /** From now on a crash is answered by a new start. */
  keep(): void {
    void this.#watch();
  }

  /** Kills the service at once; unless a stop has begun, what follows is as after a crash. */
  kill(): void {
    this.#service?.kill();
  }

  /** Ends the service, or its next start, for good: politely for `graceMs`, then by force. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    await this.#service?.stop(graceMs);
  }

  async #watch(): Promise<void> {
    const { name, now, onChange, onCrash, onGivenUp } = this.#supervision;
    while (this.#service !== undefined) {
      const exit = await this.#service.exited;
      if (this.#stopping.signal.aborted) return;
      onChange();
      const delay = this.#policy.delayAfterCrash(now());
      const how = describeExit(exit);
      if (delay === undefined) return onGivenUp(`${name} crashes again and again (last: ${how})`);
      onCrash(`${name} ended unexpectedly (${how}); starting it again.`);
      try {
        await sleep(delay, undefined, { signal: this.#stopping.signal });
        this.#service = await this.#supervision.start();
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        return onGivenUp(`${name} cannot be started again (${(error as Error).message})`);
      }
      // A stop that came while the service was starting has not seen it.
      if (this.#stopping.signal.aborted) return this.#service.kill();
      onChange();
    }
  }
}
