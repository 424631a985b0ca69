// The questions that the child was asked and has not answered yet.
import { type Code, NodeError } from "../../node-error.ts";
import type { ToNode } from "./protocol.ts";

export type Answer = Uint32Array | Float32Array | string;
type Reply = Extract<ToNode, { type: "reply" | "reply_error" }>;

export class OpenCalls {
  readonly #calls = new Map<number, { resolve: (value: Answer) => void; reject: (error: NodeError) => void }>();
  #next = 1;

  get size(): number {
    return this.#calls.size;
  }

  has(call: number): boolean {
    return this.#calls.has(call);
  }

  /** A number for a new question, and its answer. Rejects as the child's reply does, or as `fail` says. */
  open(): { call: number; answer: Promise<Answer> } {
    const call = this.#next++;
    const answer = new Promise<Answer>((resolve, reject) => this.#calls.set(call, { resolve, reject }));
    return { call, answer };
  }

  settle(reply: Reply): void {
    const open = this.#calls.get(reply.call);
    this.#calls.delete(reply.call);
    if (reply.type === "reply") open?.resolve(reply.value);
    else open?.reject(revive(reply.error));
  }

  /** Rejects one question, which was never asked. */
  fail(call: number, error: NodeError): void {
    const open = this.#calls.get(call);
    this.#calls.delete(call);
    open?.reject(error);
  }

  /** Rejects all: who would have answered is gone. */
  failAll(error: NodeError): void {
    for (const call of [...this.#calls.keys()]) this.fail(call, error);
  }
}

function revive(error: Extract<ToNode, { type: "reply_error" }>["error"]): NodeError {
  return new NodeError(error.code as Code, error.message, {
    reason: error.reason,
    metadata: error.metadata,
    ...(error.param === undefined ? {} : { param: error.param }),
  });
}
