// One native child process, from its start to its death.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../clock.ts";
import type { LogEntry } from "../../log.ts";
import type { EmbeddingLoadOptions } from "./embedding-protocol.ts";
import type { LoadedModel, LoadOptions, ToChild, ToNode } from "./protocol.ts";

/** What runs models that generate. */
const generatingChild = fileURLToPath(new URL("./child.ts", import.meta.url));
/** The end of the child's output that is kept for the case that it dies, in characters. */
const outputTailMax = 2000;

/** What a child says once it is loaded. */
export type WorkMessage = Exclude<ToNode, { type: "loaded" | "load_failed" }>;

/** How a child ended. */
export interface ChildEnd {
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it was ended, or did not load; undefined when it died by itself. */
  readonly reason: string | undefined;
  readonly livedMs: number;
  /** Whether its model was ever loaded. */
  readonly loaded: boolean;
  readonly lastOutput: string;
}

export interface NativeChildOptions {
  readonly load: LoadOptions | EmbeddingLoadOptions;
  /** The program to run; the one that generates unless another is named. */
  readonly childPath?: string | undefined;
  readonly childEnv: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: (entry: LogEntry) => void;
  /** The model is loaded; a call of `condemn` within means that it will not do. */
  readonly onLoaded: (model: LoadedModel, residentBytes: number | undefined) => void;
  readonly onMessage: (message: WorkMessage) => void;
  /** Nothing more can be asked of it; its end follows. */
  readonly onDisconnect: () => void;
  readonly onEnd: (end: ChildEnd) => void;
}

export class NativeChild {
  readonly #options: NativeChildOptions;
  readonly #process: ChildProcess;
  readonly #startedMs: number;
  #reason: string | undefined;
  #loaded = false;
  #ended = false;
  #output = "";

  /** Starts the process and the load of its model. */
  constructor(options: NativeChildOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonic();
    const child = fork(options.childPath ?? generatingChild, [], {
      serialization: "advanced",
      env: options.childEnv,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#process = child;
    options.log({ level: "info", event: "runtime.started", pid: child.pid });
    child.stdout?.on("data", (chunk: Buffer) => this.#forward(chunk));
    child.stderr?.on("data", (chunk: Buffer) => this.#forward(chunk));
    child.on("message", (message: ToNode) => this.#receive(message));
    // The channel goes a little before the process does.
    child.once("disconnect", () => {
      if (this.#ended) return;
      options.onDisconnect();
      child.kill("SIGKILL");
    });
    child.on("error", (error) => {
      options.log({ level: "error", event: "runtime.error", message: error.message });
      // A process that could not be made never exits.
      if (child.pid !== undefined) return;
      this.#reason = `The native engine could not be started: ${error.message}.`;
      this.#end(null, null);
    });
    child.once("exit", (code, signal) => this.#end(code, signal));
    child.send({ type: "load", options: options.load } satisfies ToChild);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get connected(): boolean {
    return this.#process.connected;
  }

  send(message: ToChild): void {
    this.#process.send(message);
  }

  /** Ends it for a reason; nothing that it says from now on is heard. Stopped processes too hear this signal. */
  condemn(reason: string): void {
    this.#reason = reason;
    this.#process.kill("SIGKILL");
  }

  /**
   * Ends it and waits until it is gone. Teardown of a native engine hangs at times (node-llama-cpp#623), and there is
   * nothing to save.
   */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }

  #receive(message: ToNode): void {
    // Too late: whom it was for has been told that it is gone.
    if (this.#reason !== undefined) return;
    if (message.type === "load_failed") this.#reason = message.message;
    else if (message.type === "loaded") {
      this.#options.onLoaded(message.model, message.residentBytes);
      this.#loaded = this.#reason === undefined;
    } else this.#options.onMessage(message);
  }

  #end(code: number | null, signal: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    const { clock, onEnd } = this.#options;
    const livedMs = clock.monotonic() - this.#startedMs;
    const [reason, loaded, lastOutput] = [this.#reason, this.#loaded, this.#output];
    onEnd({ pid: this.pid, code, signal, reason, livedMs, loaded, lastOutput });
  }

  #forward(chunk: Buffer): void {
    const text = chunk.toString("utf8");
    this.#output = (this.#output + text).slice(-outputTailMax);
    this.#options.log({ level: "debug", event: "runtime.output", message: text.trimEnd().slice(0, outputTailMax) });
  }
}
