// A target without a server: the bare decode loop in a child process, so that only one of the two computes at a time.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { LoopCommand, LoopOptions, LoopReply } from "./loop-protocol.ts";
import { BenchError, type RoundPlan, RoundRecord, type Target } from "./target.ts";

/** Last characters of what the child wrote to stderr, kept for the sentence about its death. */
const stderrLengthMax = 2000;

export interface LoopTargetOptions extends LoopOptions {
  /** The child's program; tests put another in its place. */
  readonly program?: URL;
}

export class LoopTarget implements Target {
  readonly remembers = false;
  readonly #options: LoopTargetOptions;
  #child: ChildProcess | undefined;
  #stderr = "";
  #model = "";
  /** Processor time that the child used while it should have been idle, in milliseconds. */
  idleCpuMs = 0;

  constructor(options: LoopTargetOptions) {
    this.#options = options;
  }

  get label(): string {
    const { threads, sequences, contextLength } = this.#options;
    return `bare loop, ${threads} ${threads === 1 ? "thread" : "threads"}, ${sequences} x ${contextLength} tokens`;
  }

  get model(): string {
    return this.#model;
  }

  /** The child's process id while it lives. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async open(signal: AbortSignal): Promise<void> {
    const { program = new URL("./node-loop.ts", import.meta.url), ...options } = this.#options;
    const child = fork(program, {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      // Sampling of many sequences runs on these threads; Node's four would make them queue.
      env: { ...process.env, UV_THREADPOOL_SIZE: String(Math.max(4, options.threads + 1)) },
    });
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-stderrLengthMax);
    });
    this.#child = child;
    const reply = await this.#ask({ type: "load", ...options }, signal);
    if (reply.type === "loaded") this.#model = reply.model;
  }

  async countPromptTokens(prompt: string, signal: AbortSignal): Promise<number | undefined> {
    const reply = await this.#ask({ type: "count", prompt }, signal);
    return reply.type === "counted" ? reply.tokens : undefined;
  }

  async round(plan: RoundPlan, signal: AbortSignal): Promise<RoundRecord> {
    const record = new RoundRecord();
    const reply = await this.#ask({ type: "round", streams: plan.streams, sampling: plan.sampling }, signal);
    if (reply.type !== "measured") throw new BenchError("the decode loop answered out of turn");
    this.idleCpuMs += reply.idleCpuMs;
    for (const { startedAt, tokenTimes, promptTokens } of reply.requests) {
      record.started(startedAt);
      let previous = startedAt;
      for (const [index, at] of tokenTimes.entries()) {
        record.chunk(at, previous, index === 0);
        previous = at;
      }
      record.succeeded({ promptTokens, completionTokens: tokenTimes.length, counted: "usage" });
    }
    return record;
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** One command, one reply. Rejects with a BenchError when the child fails or dies, or with the signal's reason. */
  async #ask(command: LoopCommand, signal: AbortSignal): Promise<LoopReply> {
    signal.throwIfAborted();
    const child = this.#child;
    if (!child?.connected) throw new BenchError("the decode loop is not running");
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        child.off("message", onMessage);
        child.off("error", onError);
        child.off("exit", onExit);
        signal.removeEventListener("abort", onAbort);
        act();
      };
      const onMessage = (reply: LoopReply): void =>
        settle(() => {
          if (reply.type === "failed") reject(new BenchError(`the decode loop failed: ${reply.message}`));
          else resolve(reply);
        });
      const onError = (error: Error): void =>
        settle(() => reject(new BenchError(`the decode loop does not start: ${error.message}`)));
      const onExit = (code: number | null, name: NodeJS.Signals | null): void => {
        const last = this.#stderr.trim().split("\n").at(-1);
        settle(() =>
          reject(new BenchError(`the decode loop died (${name ?? `exit code ${code}`})${last ? `: ${last}` : ""}`)),
        );
      };
      const onAbort = (): void => settle(() => reject(signal.reason));
      child.on("message", onMessage);
      child.on("error", onError);
      child.on("exit", onExit);
      signal.addEventListener("abort", onAbort, { once: true });
      child.send(command, (error) => error && onError(error));
    });
  }
}
