// Keeps one native child alive: starts it, ends it when it hangs, restarts it with back-off, and fails what it worked on.
import type { Clock } from "../../clock.ts";
import type { LogEntry } from "../../log.ts";
import { Code, NodeError } from "../../node-error.ts";
import type { CrashReports } from "./crash-report.ts";
import type { EmbeddingLoadOptions } from "./embedding-protocol.ts";
import { MemoryCeiling } from "./memory-ceiling.ts";
import { type ChildEnd, NativeChild, type WorkMessage } from "./native-child.ts";
import { type Answer, OpenCalls } from "./open-calls.ts";
import type { GenerateOptions, GenerationEvent, LoadedModel, LoadOptions, StepSummary, ToChild } from "./protocol.ts";
import { Watchdog } from "./watchdog.ts";

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
  readonly load: LoadOptions | EmbeddingLoadOptions;
  /** The program that the child runs; the one that generates unless another is named. */
  readonly childPath?: string;
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
   * The child died or was given up: every generation and call that it had is lost. `running` is what it worked on,
   * undefined when its end was our own wish.
   */
  readonly onDeath: (error: NodeError, running: readonly Work[] | undefined) => void;
}

/** Whom the first start's outcome is told. */
interface First {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
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
  readonly #memory: MemoryCeiling;
  #child: NativeChild | undefined;
  #deaths = 0;
  #state: ChildState = "loading";
  #closed = new AbortController();
  /** Ends the grace of a child that drains. */
  #drained: AbortController | undefined;
  /** The child's end is our own wish. */
  #replacing = false;
  /** What the child worked on when it was lost. */
  #casualties: readonly Work[] = [];
  #engine: string | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { clock, stepTimeoutMs, loadTimeoutMs } = options;
    this.#memory = new MemoryCeiling(options.memoryBytesMax);
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
    return this.#hears() ? this.#memory.residentBytes : undefined;
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
    if (this.#child?.connected === true && this.#hears()) this.#child.send(message);
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
    await this.#child?.kill();
  }

  #hears(): boolean {
    return this.#state === "ready" || this.#state === "draining";
  }

  #spawn(first?: First): void {
    this.#setState("loading", undefined);
    this.#drained = undefined;
    this.#replacing = false;
    this.#casualties = [];
    const { load, childPath, childEnv, clock, log } = this.#options;
    const child: NativeChild = new NativeChild({
      load,
      childPath,
      childEnv,
      clock,
      log,
      onLoaded: (model, residentBytes) => this.#loaded(child, model, residentBytes, first),
      onMessage: (message) => this.#receive(message),
      onDisconnect: () => this.#setState("down", undefined),
      onEnd: (end) => this.#ended(end, first),
    });
    this.#child = child;
    this.#loadWatch.watch();
  }

  #loaded(child: NativeChild, model: LoadedModel, residentBytes: number | undefined, first: First | undefined): void {
    this.#loadWatch.rest();
    const tooLarge = this.#memory.loaded(residentBytes);
    if (tooLarge !== undefined) this.#options.log({ level: "warn", event: "runtime.memory", message: tooLarge });
    // A later child is as large as the first was: better that one than none.
    if (tooLarge !== undefined && first !== undefined) {
      child.condemn(tooLarge);
      return;
    }
    this.#engine = model.engine;
    this.#setState("ready", model);
    first?.resolve();
  }

  #receive(message: WorkMessage): void {
    if (message.type === "memory") this.#weigh(message.residentBytes);
    else if (message.type === "events") this.#stepped(message.events, message.step);
    else {
      this.#calls.settle(message);
      this.#callWatch.progress();
      if (this.#calls.size === 0) this.#callWatch.rest();
    }
  }

  #stepped(events: readonly GenerationEvent[], step: StepSummary | undefined): void {
    this.#stepWatch.progress();
    for (const event of events) {
      const { type, key } = event;
      const work = this.#generations.get(key);
      if (type === "finished" || type === "cancelled" || type === "failed") this.#generations.delete(key);
      else if (type === "delta" && work !== undefined) work.tokens = event.completionTokens;
    }
    if (this.#generations.size === 0) {
      this.#stepWatch.rest();
      this.#drained?.abort();
    }
    this.#options.onEvents(events, step);
  }

  #weigh(residentBytes: number): void {
    const sentence = this.#memory.grown(residentBytes);
    if (sentence !== undefined && this.#state === "ready") void this.#replace(sentence);
  }

  /** Lets the running streams end for a while, then ends the child; the next one starts at once. */
  async #replace(message: string): Promise<void> {
    const child = this.#child;
    const { log, clock } = this.#options;
    log({ level: "warn", event: "runtime.replacing", pid: child?.pid, running: this.#generations.size, message });
    const drained = new AbortController();
    this.#drained = drained;
    this.#setState("draining", undefined);
    if (this.#generations.size > 0) await clock.sleep(replaceGraceMs, drained.signal).catch(() => undefined);
    // It may have died, or been closed, meanwhile.
    if (this.#child !== child || this.#state !== "draining") return;
    this.#replacing = true;
    log({ level: "info", event: "runtime.replaced", pid: child?.pid, cut_off: this.#generations.size });
    await child?.kill();
  }

  /**
   * Ends a child that hangs. A process that the kernel can't end (a driver's fault) keeps the engine down: a second one
   * beside it would want the same memory and meet the same fault.
   */
  #giveUp(verdict: string): void {
    const child = this.#child;
    if (child === undefined) return;
    this.#options.log({ level: "error", event: "runtime.hung", pid: child.pid, message: verdict });
    this.#lose();
    child.condemn(verdict);
  }

  /** Fails what the child was working on. */
  #lose(): void {
    for (const watchdog of [this.#loadWatch, this.#stepWatch, this.#callWatch]) watchdog.rest();
    this.#setState("down", undefined);
    const error = engineDown();
    this.#calls.failAll(error);
    const running = [...this.#generations.values()];
    if (running.length > 0) this.#casualties = running;
    this.#generations.clear();
    this.#options.onDeath(error, this.#replacing || this.#closed.signal.aborted ? undefined : running);
  }

  #ended(end: ChildEnd, first: First | undefined): void {
    // Not by the state, which the channel's end may have changed already.
    if (!end.loaded) first?.reject(new Error(end.reason ?? diedLoading(end.signal ?? end.code)));
    this.#child = undefined;
    this.#lose();
    if (this.#closed.signal.aborted) return;
    if (!this.#replacing) this.#tellDeath(end);
    if (first !== undefined && !end.loaded) return;
    void this.#restart(this.#replacing ? 0 : (backOffMs[Math.min(this.#deaths - 1, backOffMs.length - 1)] ?? 0));
  }

  #tellDeath(end: ChildEnd): void {
    const { log, reports, modelId: model = "" } = this.#options;
    this.#deaths = end.livedMs > stableAfterMs ? 1 : this.#deaths + 1;
    const { residentBytes } = this.#memory;
    const report = reports?.write({
      ...end,
      running: this.#casualties,
      deaths: this.#deaths,
      residentBytes,
      engine: this.#engine,
      model,
    });
    const { code, signal, livedMs, reason, lastOutput } = end;
    const message = reason ?? lastOutput;
    log({ level: "error", event: "runtime.died", code, signal, lived_ms: Math.round(livedMs), message, report });
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

function engineDown(): NodeError {
  return new NodeError(Code.UNAVAILABLE, "The model is restarting. Try again shortly.", {
    reason: "RUNTIME_DOWN",
    retryAfterMs,
  });
}
