// Hands one generation's events from the child to its reader, and merges text while the reader is busy.
import type { NodeError } from "../../node-error.ts";
import type { GenerationEvent } from "./protocol.ts";

/**
 * A queue with one reader. A reader that is behind gets adjacent text in one piece, so that its length is bounded by
 * the few events that are not text; the text itself is bounded by the request's max_tokens.
 */
export class EventQueue {
  readonly #merges: boolean;
  readonly #events: GenerationEvent[] = [];
  #failure: NodeError | undefined;
  #wake: (() => void) | undefined;

  /** A reader that counts the tokens of its pieces wants them unmerged; their number is bounded by max_tokens. */
  constructor(merges = true) {
    this.#merges = merges;
  }

  push(event: GenerationEvent): void {
    const last = this.#events.at(-1);
    const mergeable =
      this.#merges &&
      last?.type === "delta" &&
      event.type === "delta" &&
      last.scores.length === 0 &&
      event.scores.length === 0;
    if (mergeable) this.#events[this.#events.length - 1] = { ...event, text: last.text + event.text };
    else this.#events.push(event);
    this.#wake?.();
  }

  /** Ends the queue: what is in it is still read, then `next` rejects. */
  fail(error: NodeError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** The next event, when there is one. */
  async next(): Promise<GenerationEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
