// Remembers which requests ran when the engine died, tries them one by one, and refuses those that ran at two deaths.
import { createHash } from "node:crypto";
import type { Clock } from "../../clock.ts";
import { Code, NodeError } from "../../node-error.ts";
import type { RuntimeEvent } from "../../runtime.ts";
import type { GenerateOptions } from "./protocol.ts";
import type { Work } from "./supervisor.ts";

/** Deaths at which a request ran that make it refused. */
const deathsMax = 2;
/** How long a death is held against a request, and how long one is refused. */
const memoryMs = 600_000;
/** Requests that are remembered; the oldest gives way. */
const entriesMax = 1024;
/** How long a suspect runs without another one beside it, at most, and so many tokens past those that it had. */
const trialMsMax = 10_000;
const trialTokens = 64;

/** One request's name, the same for each try and for each of its answers: tokens and options, neither id nor seed. */
export function requestKey(request: GenerateOptions): string {
  const { tokens, requestId: _id, prefixSalt: _salt, logprobs: _logprobs, sampling, ...options } = request;
  const { seed: _seed, ...drawn } = sampling;
  return createHash("sha256")
    .update(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength))
    .update(JSON.stringify([options, drawn]))
    .digest("base64");
}

/** A prompt's name while it is not tokenised yet. */
function promptKey(prompt: Uint8Array): string {
  return createHash("sha256").update("prompt").update(prompt).digest("base64");
}

interface Entry {
  deaths: number;
  /** Tokens that it had generated when the engine died: past these it is out of suspicion for now. */
  tokens: number;
  readonly sinceMs: number;
}

/** A suspect's run. */
export interface Trial {
  /** Tells how many tokens there are; past those of its death others may run beside it. */
  progress(tokens: number): void;
  /** The run is over, whatever its end. */
  end(): void;
}

const noTrial: Trial = { progress: () => undefined, end: () => undefined };

/**
 * Whoever ran at one death is a suspect. Suspects run one at a time, beside any number of others, until they are well past
 * the point where the engine died: at a second death the one that runs then is refused for ten minutes, and those that
 * happened to run beside it at the first are not. A suspect that ends well is acquitted.
 */
export class Quarantine {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #line: { key: string; go: () => void }[] = [];
  #onTrial: symbol | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether nobody is suspect: keys then need not be computed. */
  get empty(): boolean {
    return this.#entries.size === 0;
  }

  /** Requests that are refused now. */
  get refused(): number {
    return [...this.#entries.keys()].filter((key) => this.#deaths(key) >= deathsMax).length;
  }

  /** Throws for a request that ran at two deaths. */
  check(key: string): void {
    if (this.#deaths(key) < deathsMax) return;
    throw new NodeError(
      Code.INVALID_ARGUMENT,
      "The model's engine crashed twice while it ran this request, which is therefore refused for ten minutes. Change it.",
      { param: "prompt", reason: "QUARANTINED" },
    );
  }

  /** Throws for a prompt that was being tokenised at two deaths. */
  checkPrompt(prompt: Uint8Array): void {
    if (!this.empty) this.check(promptKey(prompt));
  }

  /** Counts one death against all that ran, and against the prompt whose tokens were waited for longest. */
  convictAll(running: readonly Work[], prompt: Uint8Array | undefined): void {
    const tokens = new Map<string, number>();
    for (const work of running) {
      const key = requestKey(work.options);
      tokens.set(key, Math.max(work.tokens, tokens.get(key) ?? 0));
    }
    for (const [key, count] of tokens) this.convict(key, count);
    if (prompt !== undefined) this.convict(promptKey(prompt), 0);
  }

  /** Counts a death against a request that ran, with so many tokens generated. */
  convict(key: string, tokens: number): void {
    const deaths = this.#deaths(key) + 1;
    this.#entries.delete(key);
    this.#entries.set(key, { deaths, tokens, sinceMs: this.#clock.monotonic() });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > entriesMax && oldest !== undefined) this.#entries.delete(oldest);
  }

  /** Takes the suspicion from a request that ended well, also from those like it that wait. */
  acquit(key: string): void {
    if (!this.#entries.delete(key)) return;
    for (const waiting of [...this.#line]) if (waiting.key === key) this.#leave(waiting);
  }

  /** Waits until a request may run: at once for all but suspects. Rejects when `signal` is aborted. */
  async enter(key: string, signal: AbortSignal): Promise<Trial> {
    this.check(key);
    while (this.#deaths(key) > 0 && this.#onTrial !== undefined) {
      await this.#turn(key, signal);
      signal.throwIfAborted();
      this.check(key);
    }
    return this.#deaths(key) === 0 ? noTrial : this.#try(key);
  }

  /** Runs a request as `enter` allows, after `ready`; acquits it when it ends well. */
  async *watch(
    key: string,
    events: AsyncGenerator<RuntimeEvent, void, undefined>,
    ready: () => Promise<void>,
    signal: AbortSignal,
  ): AsyncGenerator<RuntimeEvent, void, undefined> {
    const trial = await this.enter(key, signal);
    try {
      await ready();
      for await (const event of events) {
        if (event.case === "delta") trial.progress(event.value.completionTokens);
        else if (event.case === "finished") this.acquit(key);
        yield event;
      }
    } finally {
      trial.end();
    }
  }

  #try(key: string): Trial {
    const trial = Symbol(key);
    this.#onTrial = trial;
    const over = new AbortController();
    const end = (): void => {
      over.abort();
      if (this.#onTrial !== trial) return;
      this.#onTrial = undefined;
      const [next] = this.#line;
      if (next !== undefined) this.#leave(next);
    };
    this.#clock.sleep(trialMsMax, over.signal).then(end, () => undefined);
    const before = this.#entries.get(key)?.tokens ?? 0;
    return { progress: (tokens) => tokens > before + trialTokens && end(), end };
  }

  #turn(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const waiting = { key, go: () => resolve() };
      this.#line.push(waiting);
      signal.addEventListener("abort", () => this.#leave(waiting), { once: true });
    });
  }

  #leave(waiting: { key: string; go: () => void }): void {
    const index = this.#line.indexOf(waiting);
    if (index < 0) return;
    this.#line.splice(index, 1);
    waiting.go();
  }

  #deaths(key: string): number {
    const entry = this.#entries.get(key);
    if (entry === undefined) return 0;
    if (this.#clock.monotonic() - entry.sinceMs < memoryMs) return entry.deaths;
    this.#entries.delete(key);
    return 0;
  }
}
