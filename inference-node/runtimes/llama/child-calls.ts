// Answers the node's questions to a child, each with its own way to be called off.
import { Code, NodeError } from "../../node-error.ts";
import type { Answer } from "./open-calls.ts";
import type { ToNode } from "./protocol.ts";

/** Calls that are not answered yet; the node bounds them. */
export class ChildCalls {
  readonly #calls = new Map<number, AbortController>();
  readonly #send: (message: ToNode) => void;

  constructor(send: (message: ToNode) => void) {
    this.#send = send;
  }

  /** Answers a call, or sends its NodeError back. */
  async reply(call: number, compute: (signal: AbortSignal) => Promise<Answer> | Answer): Promise<void> {
    const controller = new AbortController();
    this.#calls.set(call, controller);
    try {
      this.#send({ type: "reply", call, value: await compute(controller.signal) });
    } catch (thrown) {
      const { code, message, param, reason, metadata } = NodeError.from(thrown);
      if (!(thrown instanceof NodeError)) process.stderr.write(`call failed: ${String(thrown)}\n`);
      this.#send({ type: "reply_error", call, error: { code, message, param, reason, metadata } });
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Nobody waits for the answer any more. */
  cancel(call: number): void {
    this.#calls.get(call)?.abort(new NodeError(Code.CANCELLED, "The caller cancelled the request."));
  }
}
