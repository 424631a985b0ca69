// Keeps one native child alive: starts it, ends it when it hangs, restarts it with back-off, and fails what it worked on.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../clock.ts";
import type { LogEntry } from "../../log.ts";
import { Code, NodeError } from "../../node-error.ts";
import { ChildOutput } from "./child-output.ts";
import type { CrashReports } from "./crash-report.ts";
import { type Answer, OpenCalls } from "./open-calls.ts";
import type { GenerateOptions, GenerationEvent, LoadedModel, LoadOptions, StepSummary, ToChild, ToNode } from "./protocol.ts";
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
/** How long running streams get to end when a child is replaced for its memory. */
const replaceGraceMs = 10_000;

/** `draining` is a child that ends its streams and takes nothing new, since another shall replace it. */
export type ChildState = "loading" | "ready" | "draining" | "down";

/** A generation that the child has. */
export interface Work {
  readonly options: GenerateOptions;
  /** Tokens that it has generated. */
  tokens: number;
}

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
  /** Resident bytes above which the child is replaced; undefined sets no ceiling. */
  readonly memoryBytesMax?: number | undefined;
  readonly reports?: CrashReports | undefined;
  /** Names the model in reports. */
  readonly modelId?: string | undefined;
  readonly onState: (state: ChildState, model: LoadedModel | undefined) => void;
  readonly onEvents: (events: readonly GenerationEvent[], step: StepSummary | undefined) => void;
  /**
   * The child died or was given up: every generation and call that it had is lost. `running` is what it worked on, empty
   * when its end was our own wish.
   */
  readonly onDeath: (error: NodeError, running: readonly Work[]) => void;
}

/** How a child ended. */
interface Death {
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: string | null;
  readonly reason: string | undefined;
  readonly livedMs: number;
  readonly running: readonly Work[];
}

/** Owns the child process. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #calls = new OpenCalls();
  /** The generations that have not ended, by key; at most one a slot. */
  readonly #generations = new Map<number, Work>();
  readonly #loadWatch: Watchdog;
  readonly #stepWatch: Watchdog;
  /** Apart from the steps: a process whose step hangs in another thread still answers calls. */
  readonly #callWatch: Watchdog;
  #child: ChildProcess | undefined;
  #deaths = 0;
  #state: ChildState = "loading";
  #closed = new AbortController();
  #output: ChildOutput | undefined;
  /** Why the child was given up, which its death then confirms. */
  #verdict: string | undefined;
  /** Ends the grace of a child that drains. */
  #drained: AbortController | undefined;
  #residentBytes: number | undefined;
  #engine: string | undefined;

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

  /** Resident bytes of the child when it was last heard of; undefined while none is loaded. */
  get residentBytes(): number | undefined {
    return this.#state === "loading" || this.#state === "down" ? undefined : this.#residentBytes;
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
    this.#generations.set(message.key, { options: message.options, tokens: 0 });
    this.#stepWatch.watch();
  }

  /** Sends a message to the child if one lives: a dead one has nothing left that the message could be about. */
  tell(message: ToChild): void {
    const hears = this.#state === "ready" || this.#state === "draining";
    if (this.#child?.connected === true && hears) this.#child.send(message);
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
    this.#verdict = undefined;
    this.#drained = undefined;
    const startedMs = this.#options.clock.monotonic();
    const child = fork(childPath, [], {
      serialization: "advanced",
      env: this.#options.childEnv,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child = child;
    this.#options.log({ level: "info", event: "runtime.started", pid: child.pid });
    this.#output = new ChildOutput(child, this.#options.log);
    let loadFailure: string | undefined;
    let loaded = false;
    child.on("message", (message: ToNode) => {
      // Too late: whom it was for has been told that it is gone.
      if (this.#verdict !== undefined) return;
      if (message.type === "load_failed") loadFailure = message.message;
      else if (message.type === "loaded") {
        this.#loadWatch.rest();
        loadFailure = this.#beyondMemory(message.residentBytes, first !== undefined);
        if (loadFailure !== undefined) {
          child.kill("SIGKILL");
          return;
        }
        loaded = true;
        this.#engine = message.model.engine;
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
      const livedMs = this.#options.clock.monotonic() - startedMs;
      this.#buried({ pid: child.pid, code, signal, reason, livedMs }, !isFirstFailure);
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
    if (message.type === "memory") return this.#weigh(message.residentBytes);
    if (message.type === "events") return this.#stepped(message.events, message.step);
    this.#calls.settle(message);
    this.#callWatch.progress();
    if (this.#calls.size === 0) this.#callWatch.rest();
  }

  #stepped(events: readonly GenerationEvent[], step: StepSummary | undefined): void {
    this.#stepWatch.progress();
    for (const event of events) {
      const { type, key } = event;
      if (type === "finished" || type === "cancelled" || type === "failed") this.#generations.delete(key);
      else if (type === "delta") {
        const work = this.#generations.get(key);
        if (work !== undefined) work.tokens = event.completionTokens;
      }
    }
    if (this.#generations.size === 0) {
      this.#stepWatch.rest();
      this.#drained?.abort();
    }
    this.#options.onEvents(events, step);
  }

  /** A sentence when a loaded model alone is above the ceiling: another child would be no smaller. */
  #beyondMemory(residentBytes: number | undefined, isFirst: boolean): string | undefined {
    this.#residentBytes = residentBytes;
    const { memoryBytesMax, log } = this.#options;
    if (memoryBytesMax === undefined || residentBytes === undefined || residentBytes <= memoryBytesMax) return undefined;
    const sentence =
      `The native engine takes ${megabytes(residentBytes)} MB once the model is loaded, and SLUICE_CHILD_MEMORY_MAX_MB ` +
      `is ${megabytes(memoryBytesMax)}: raise it, or lower SLUICE_KV_MEMORY_MB.`;
    if (isFirst) return sentence;
    log({ level: "warn", event: "runtime.memory", message: sentence });
    return undefined;
  }

  /** Replaces a child that has grown above the ceiling; once loaded so large, it would be replaced for ever. */
  #weigh(residentBytes: number): void {
    const before = this.#residentBytes;
    this.#residentBytes = residentBytes;
    const { memoryBytesMax } = this.#options;
    if (memoryBytesMax === undefined || residentBytes <= memoryBytesMax || this.#state !== "ready") return;
    if (before !== undefined && before > memoryBytesMax) return;
    void this.#replace(residentBytes, memoryBytesMax);
  }

  /** Lets the running streams end for a while, then ends the child; the next one starts at once. */
  async #replace(residentBytes: number, memoryBytesMax: number): Promise<void> {
    const child = this.#child;
    const { log, clock } = this.#options;
    const facts = { pid: child?.pid, resident_mb: megabytes(residentBytes), ceiling_mb: megabytes(memoryBytesMax) };
    log({ level: "warn", event: "runtime.replacing", ...facts, running: this.#generations.size });
    const drained = new AbortController();
    this.#drained = drained;
    this.#setState("draining", undefined);
    if (this.#generations.size > 0) await clock.sleep(replaceGraceMs, drained.signal).catch(() => undefined);
    // It may have died, or been closed, meanwhile.
    if (this.#child !== child || this.#state !== "draining") return;
    log({ level: "info", event: "runtime.replaced", pid: child?.pid, ended: this.#generations.size });
    child?.kill("SIGKILL");
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
    const running = this.#drained === undefined ? [...this.#generations.values()] : [];
    this.#generations.clear();
    this.#options.onDeath(error, running);
  }

  #buried({ pid, code, signal, reason, livedMs }: Omit<Death, "running">, restart: boolean): void {
    this.#child = undefined;
    const running = [...this.#generations.values()];
    const planned = this.#drained !== undefined;
    this.#lose();
    if (this.#closed.signal.aborted) return;
    if (!planned) {
      this.#deaths = livedMs > stableAfterMs ? 1 : this.#deaths + 1;
      this.#tellDeath({ pid, code, signal, reason, livedMs, running });
    }
    if (!restart) return;
    void this.#restart(planned ? 0 : (backOffMs[Math.min(this.#deaths - 1, backOffMs.length - 1)] ?? 0));
  }

  #tellDeath({ running, ...death }: Death): void {
    const { log, reports, modelId = "" } = this.#options;
    const tail = this.#output?.tail ?? "";
    const report = reports?.write({
      ...death,
      deaths: this.#deaths,
      lastOutput: tail,
      running: running.map(({ options, tokens }) => ({
        requestId: options.requestId,
        promptTokens: options.tokens.length,
        tokens,
      })),
      residentBytes: this.#residentBytes,
      engine: this.#engine,
      model: modelId,
    });
    log({
      level: "error",
      event: "runtime.died",
      code: death.code,
      signal: death.signal,
      lived_ms: Math.round(death.livedMs),
      message: death.reason ?? tail,
      report,
    });
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

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}

function engineDown(): NodeError {
  return new NodeError(Code.UNAVAILABLE, "The model is restarting. Try again shortly.", {
    reason: "RUNTIME_DOWN",
    retryAfterMs,
  });
}
