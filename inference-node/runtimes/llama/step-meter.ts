// Sums up what the decodes between two messages to the node were, for its metrics.
import type { StepSummary } from "./protocol.ts";

/** What is asked of a running sequence. */
interface Holder {
  /** Tokens in its context. */
  readonly position: number;
}

export class StepMeter {
  #decoding = 0;
  #promptTokens = 0;
  #ms = 0;

  /** Counts one decoded batch. */
  add(decoding: number, promptTokens: number, ms: number): void {
    this.#decoding += decoding;
    this.#promptTokens += promptTokens;
    this.#ms += ms;
  }

  /** The sum since the last call; undefined when nothing was decoded. */
  take(running: Iterable<Holder>): StepSummary | undefined {
    const [decoding, promptTokens, ms] = [this.#decoding, this.#promptTokens, this.#ms];
    [this.#decoding, this.#promptTokens, this.#ms] = [0, 0, 0];
    if (decoding + promptTokens === 0) return undefined;
    let kvTokens = 0;
    for (const { position } of running) kvTokens += position;
    return { decoding, promptTokens, ms, kvTokens };
  }
}
