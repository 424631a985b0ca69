// Keeps one native child alive: starts it, ends it when it hangs, restarts it with back-off, and fails what it worked on.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../clock.ts";
import type { LogEntry } from "../../log.ts";
import { Code, NodeError } from "../../node-error.ts";
import { type Answer, OpenCalls } from "./open-calls.ts";
import type { GenerationEvent, LoadedModel, LoadOptions, ToChild, ToNode } from "./protocol.ts";
import { Watchdog } from "./watchdog.ts";

const childPath = fileURLToPath(new URL("./child.ts", import.meta.url));

/**
 * Restarts wait this long, by the number of deaths in a row; a child that lived a minute starts the count anew. A load
 * takes a second or two, which keeps the first few from being a storm.
 */
const backOffMs = [0, 0, 0, 250, 1000, 2000, 5000, 10_000, 30_000];
const stableAfterMs = 60_000;
/** What a stream that died with the child is told to wait: about one restart. */
const retryAfterMs = 1000;
/** The end of the child's error output that goes into the log when it dies, in characters. */
const errorTailMax = 2000;

export type ChildState = "loading" | "ready" | "down";

export interface SupervisorOptions {
  readonly load: LoadOptions;
  readonly clock: Clock;
  readonly log: (entry: LogEntry) => void;
  /** The child's whole environment: no secret of the node is in it. */
  readonly childEnv: Readonly<Record<string, string>>;
  /** Most milliseconds without a finished step while generations run, or without an answer to a call. */
  readonly stepTimeoutMs: number;
  /** Most milliseconds from the child's start until the model is loaded. */
  readonly loadTimeoutMs: number;
  readonly onState: (state: ChildState, model: LoadedModel | undefined) => void;
  readonly onEvents: (events: readonly GenerationEvent[]) => void;
  /** The child died or was given up: every generation and call that it had is lost. */
  readonly onDeath: (error: NodeError) => void;
}

/** Owns the child process. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #calls = new OpenCalls();
  /** Keys of the generations that have not ended; at most one a slot. */
  readonly #generations = new Set<number>();
  readonly #loadWatch: Watchdog;
  readonly #stepWatch: Watchdog;
  /** Apart from the steps: a process whose step hangs in another thread still answers calls. */
  readonly #callWatch: Watchdog;
  #child: ChildProcess | undefined;
  #deaths = 0;
  #state: ChildState = "loading";
  #closed = new AbortController();
  #errorTail = "";
  /** Why the child was given up, which its death then confirms. */
  #verdict: string | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { clock, stepTimeoutMs, loadTimeoutMs } = options;
    const watchdog = (timeoutMs: number, hung: string): Watchdog =>
      new Watchdog({ clock, timeoutMs, onSilent: () => this.#giveUp(hung) });
    this.#loadWatch = watchdog(
      loadTimeoutMs,
      `The native engine did not load the model within ${loadTimeoutMs} ms: if its disk is that slow, raise ` +
        "SLUICE_LOAD_TIMEOUT_MS.",
    );
    const raise = "if its steps are that slow, raise SLUICE_STEP_TIMEOUT_MS.";
    this.#stepWatch = watchdog(stepTimeoutMs, `The native engine finished no step for ${stepTimeoutMs} ms: ${raise}`);
    this.#callWatch = watchdog(stepTimeoutMs, `The native engine answered nothing for ${stepTimeoutMs} ms: ${raise}`);
  }

  /** Starts the first child; rejects with a sentence when the model does not load. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => this.#spawn({ resolve, reject }));
  }

  /** Sends a message to the living child; throws UNAVAILABLE when there is none. */
  send(message: ToChild): void {
    if (this.#child?.connected !== true || this.#state !== "ready") throw engineDown();
    this.#child.send(message);
    if (message.type !== "generate") return;
    this.#generations.add(message.key);
    this.#stepWatch.watch();
  }

  /** Sends a message to the child if one lives: a dead one has nothing left that the message could be about. */
  tell(message: ToChild): void {
    if (this.#child?.connected === true && this.#state === "ready") this.#child.send(message);
  }

  /** Asks the child and waits for its answer; an abort tells the child that nobody does any more. */
  async call(message: (call: number) => ToChild, signal?: AbortSignal): Promise<Answer> {
    const { call, answer } = this.#calls.open();
    const cancel = (): void => {
      if (this.#calls.has(call)) this.tell({ type: "cancel_call", call });
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      this.send(message(call));
      this.#callWatch.watch();
    } catch (thrown) {
      this.#calls.fail(call, NodeError.from(thrown));
    }
    return await answer.finally(() => signal?.removeEventListener("abort", cancel));
  }

  /** Ends the child for good. */
  async close(): Promise<void> {
    this.#closed.abort();
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    // Teardown of a native engine hangs at times (node-llama-cpp#623), and there is nothing to save.
    child.kill("SIGKILL");
    await gone;
  }

  #spawn(first?: { resolve: () => void; reject: (error: Error) => void }): void {
    this.#setState("loading", undefined);
    this.#errorTail = "";
    this.#verdict = undefined;
    const startedMs = this.#options.clock.monotonic();
    const child = fork(childPath, [], {
      serialization: "advanced",
      env: this.#options.childEnv,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child = child;
    this.#options.log({ level: "info", event: "runtime.started", pid: child.pid });
    this.#forwardOutput(child);
    let loadFailure: string | undefined;
    let loaded = false;
    child.on("message", (message: ToNode) => {
      // Too late: whom it was for has been told that it is gone.
      if (this.#verdict !== undefined) return;
      if (message.type === "load_failed") loadFailure = message.message;
      else if (message.type === "loaded") {
        loaded = true;
        this.#loadWatch.rest();
        this.#setState("ready", message.model);
        first?.resolve();
      } else this.#receive(message);
    });
    // The channel goes a little before the process does: from here on nothing more can be asked of it.
    child.once("disconnect", () => {
      if (this.#child !== child) return;
      this.#setState("down", undefined);
      child.kill("SIGKILL");
    });
    const bury = (code: number | null, signal: string | null): void => {
      const reason = loadFailure ?? this.#verdict;
      // Not by the state, which the channel's end may have changed already.
      if (!loaded) first?.reject(new Error(reason ?? diedLoading(signal ?? code)));
      const isFirstFailure = first !== undefined && !loaded;
      this.#buried(code, signal, reason, this.#options.clock.monotonic() - startedMs, !isFirstFailure);
    };
    child.on("error", (error) => {
      this.#options.log({ level: "error", event: "runtime.error", message: error.message });
      // A process that could not be made never exits.
      if (child.pid !== undefined || this.#child !== child) return;
      loadFailure = `The native engine could not be started: ${error.message}.`;
      bury(null, null);
    });
    child.once("exit", bury);
    child.send({ type: "load", options: this.#options.load } satisfies ToChild);
    this.#loadWatch.watch();
  }

  #receive(message: Exclude<ToNode, { type: "loaded" | "load_failed" }>): void {
    if (message.type === "events") {
      this.#stepWatch.progress();
      for (const { type, key } of message.events) {
        if (type === "finished" || type === "cancelled" || type === "failed") this.#generations.delete(key);
      }
      if (this.#generations.size === 0) this.#stepWatch.rest();
      this.#options.onEvents(message.events);
      return;
    }
    this.#calls.settle(message);
    this.#callWatch.progress();
    if (this.#calls.size === 0) this.#callWatch.rest();
  }

  /**
   * Ends a child that hangs. A process that the kernel can't end (a driver's fault) keeps the engine down: a second one
   * beside it would want the same memory and meet the same fault.
   */
  #giveUp(verdict: string): void {
    const child = this.#child;
    if (child === undefined) return;
    this.#verdict = verdict;
    this.#options.log({ level: "error", event: "runtime.hung", pid: child.pid, message: verdict });
    this.#lose();
    // Stopped processes too hear this one.
    child.kill("SIGKILL");
  }

  /** Fails what the child was working on. */
  #lose(): void {
    for (const watchdog of [this.#loadWatch, this.#stepWatch, this.#callWatch]) watchdog.rest();
    this.#setState("down", undefined);
    const error = engineDown();
    this.#calls.failAll(error);
    this.#generations.clear();
    this.#options.onDeath(error);
  }

  #buried(
    code: number | null,
    signal: string | null,
    reason: string | undefined,
    livedMs: number,
    restart: boolean,
  ): void {
    this.#child = undefined;
    this.#lose();
    if (this.#closed.signal.aborted) return;
    const tail = this.#errorTail;
    this.#options.log({
      level: "error",
      event: "runtime.died",
      code,
      signal,
      lived_ms: Math.round(livedMs),
      message: reason ?? tail,
    });
    if (!restart) return;
    this.#deaths = livedMs > stableAfterMs ? 1 : this.#deaths + 1;
    void this.#restart(backOffMs[Math.min(this.#deaths - 1, backOffMs.length - 1)] ?? 0);
  }

  async #restart(delayMs: number): Promise<void> {
    try {
      if (delayMs > 0) await this.#options.clock.sleep(delayMs, this.#closed.signal);
    } catch {
      // Closed while waiting.
      return;
    }
    this.#spawn();
  }

  #forwardOutput(child: ChildProcess): void {
    const forward = (chunk: Buffer): void => {
      const text = chunk.toString("utf8");
      this.#errorTail = (this.#errorTail + text).slice(-errorTailMax);
      this.#options.log({ level: "debug", event: "runtime.output", message: text.trimEnd().slice(0, errorTailMax) });
    };
    child.stdout?.on("data", forward);
    child.stderr?.on("data", forward);
  }

  #setState(state: ChildState, model: LoadedModel | undefined): void {
    if (this.#state === state && state !== "ready") return;
    this.#state = state;
    this.#options.onState(state, model);
  }
}

function diedLoading(how: string | number | null): string {
  return (
    `The native engine died while it loaded the model (${how}): if memory ran out, name a smaller model or set ` +
    "SLUICE_KV_MEMORY_MB."
  );
}

function engineDown(): NodeError {
  return new NodeError(Code.UNAVAILABLE, "The model is restarting. Try again shortly.", {
    reason: "RUNTIME_DOWN",
    retryAfterMs,
  });
}
