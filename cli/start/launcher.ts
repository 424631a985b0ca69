// Starts child processes the way `npm start` wants all of them: guarded, logged, and shown when asked.
import type { LogFile } from "./log-file.ts";
import type { Report } from "./report.ts";
import { type Exit, Service, type ServiceSpec } from "./service.ts";
import { Warden } from "./warden.ts";

export interface Launch {
  spec: ServiceSpec;
  log: LogFile;
  /** Stands before each line when the logs are shown. */
  name: string;
  onLine?: (line: string) => void;
}

export class Launcher {
  readonly #warden = new Warden();
  readonly #report: Report;
  readonly #verbose: boolean;
  readonly #stopping: AbortSignal;
  #command: Service | undefined;

  constructor(report: Report, verbose: boolean, stopping: AbortSignal) {
    this.#report = report;
    this.#verbose = verbose;
    this.#stopping = stopping;
    stopping.addEventListener("abort", () => this.#command?.kill(), { once: true });
  }

  /** Starts a service. Rejects when it cannot be run, or with the stop's reason after a stop. */
  async start({ spec, log, name, onLine }: Launch): Promise<Service> {
    this.#stopping.throwIfAborted();
    const show = (line: string): void => {
      onLine?.(line);
      if (this.#verbose) this.#report.line(`[${name}] ${line}`);
    };
    return Service.start({ ...spec, log, onLine: show }, this.#warden);
  }

  /** Runs a command to its end; a stop kills it and rejects. One at a time. */
  async run(launch: Launch): Promise<Exit> {
    const command = await this.start(launch);
    this.#command = command;
    if (this.#stopping.aborted) command.kill();
    const exit = await command.exited;
    this.#command = undefined;
    this.#stopping.throwIfAborted();
    return exit;
  }

  /** Dismisses the guard, once every service has ended. */
  close(): void {
    this.#warden.close();
  }
}
