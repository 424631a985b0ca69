// What every native child process does: talks to the node, tells its memory, answers calls, and ends in words.
import { Code, NodeError } from "../../node-error.ts";
import type { Answer } from "./open-calls.ts";
import type { LoadedModel, ToChild, ToNode } from "./protocol.ts";

/** Between two reports of the resident memory. */
const memoryIntervalMs = 1_000;

export function send(message: ToNode): void {
  process.send?.(message);
}

/** The engine's own words go where the node reads them. */
export function nativeLog(level: "warn" | "error", message: string): void {
  process.stderr.write(`llama ${level}: ${message.trim()}\n`);
}

/** Ends the process after its last messages left; the parent reads why from stderr. */
export function fail(what: string, thrown: unknown): void {
  process.stderr.write(`${what}: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  process.exit(1);
}

export function failLoad(message: string): void {
  process.send?.({ type: "load_failed", message } satisfies ToNode, () => process.exit(1));
}

/** The first step showed that the model can't run: the device, named by this variable, may be why. */
export function failFirstStep(thrown: unknown, variable: "SLUICE_GPU" | "SLUICE_EMBEDDING_GPU"): void {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  failLoad(`The engine failed in its first step (${reason}): set ${variable}=cpu to see whether the GPU is why.`);
}

/** The model is loaded. From now on the node hears of the memory: it can't look into another process on every platform. */
export function tellLoaded(model: LoadedModel): void {
  send({ type: "loaded", model, residentBytes: process.memoryUsage.rss() });
  setInterval(() => send({ type: "memory", residentBytes: process.memoryUsage.rss() }), memoryIntervalMs);
}

/** The node's questions that are not answered yet; the node bounds them. */
export class ChildCalls {
  readonly #calls = new Map<number, AbortController>();

  /** Answers a call, or sends its NodeError back. */
  async reply(call: number, compute: (signal: AbortSignal) => Promise<Answer> | Answer): Promise<void> {
    const controller = new AbortController();
    this.#calls.set(call, controller);
    try {
      send({ type: "reply", call, value: await compute(controller.signal) });
    } catch (thrown) {
      const { code, message, param, reason, metadata } = NodeError.from(thrown);
      if (!(thrown instanceof NodeError)) process.stderr.write(`call failed: ${String(thrown)}\n`);
      send({ type: "reply_error", call, error: { code, message, param, reason, metadata } });
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Nobody waits for the answer any more. */
  cancel(call: number): void {
    this.#calls.get(call)?.abort(new NodeError(Code.CANCELLED, "The caller cancelled the request."));
  }
}

/** Hears the node until it is gone. */
export function serve(receive: (message: ToChild) => void): void {
  // Signals to the whole process group are the node's business: it drains first and ends this process itself.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  // Without the node nobody reads what comes out.
  process.on("disconnect", () => process.exit(0));
  process.on("uncaughtException", (thrown) => fail("uncaught", thrown));
  process.on("message", receive);
}
