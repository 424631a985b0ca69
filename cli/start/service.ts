// One child process with its whole process group: started, listened to line by line, ended without a trace.
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { LogFile } from "./log-file.ts";
import type { Warden } from "./warden.ts";

export interface ServiceSpec {
  command: string;
  args: string[];
  cwd: string;
  env: Record<string, string | undefined>;
  /** Gives the child a channel whose end tells it that its parent died. */
  channel?: boolean;
  log?: LogFile;
  onLine?: (line: string) => void;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const POLL_MS = 20;
/** How long the dead of a group may stay uncollected by init before that is no longer waited for, in milliseconds. */
const COLLECT_MS = 3_000;
const LINE_CHARS_MAX = 64_000;

/** Calls `onLine` for each line of the stream; a line longer than the bound arrives in pieces. */
function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    if (rest.length < LINE_CHARS_MAX) return;
    onLine(rest);
    rest = "";
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
  stream.on("error", () => undefined);
}

/** Sends a signal to every process of a group; false when there is none left. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

export class Service {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #ended = false;

  private constructor(child: ChildProcess, pid: number, warden: Warden) {
    this.#child = child;
    this.pid = pid;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#ended = true;
        // What the leader leaves behind (workerd after a killed wrangler) would hold ports and files.
        signalGroup(pid, "SIGKILL");
        warden.release(pid);
        resolve({ code, signal });
      });
    });
  }

  /** Starts the child as the leader of a group of its own. Rejects when the command cannot be run. */
  static async start(spec: ServiceSpec, warden: Warden): Promise<Service> {
    const stdio: StdioOptions = ["ignore", "pipe", "pipe", ...(spec.channel ? (["ipc"] as const) : [])];
    const child = spawn(spec.command, spec.args, { cwd: spec.cwd, env: spec.env, stdio, detached: true });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      readLines(stream, (line) => {
        spec.log?.line(line);
        spec.onLine?.(line);
      });
    }
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).on("error", reject));
    const pid = child.pid as number;
    warden.guard(pid);
    return new Service(child, pid, warden);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Kills the whole group at once. */
  kill(): void {
    if (!this.#ended) signalGroup(this.pid, "SIGKILL");
  }

  /** Asks the leader to end, waits up to `graceMs`, then kills the group; resolves when none of it is left. */
  async stop(graceMs: number): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), graceMs);
    await this.exited;
    clearTimeout(timer);
    for (let waited = 0; waited < COLLECT_MS && signalGroup(this.pid, 0); waited += POLL_MS) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
