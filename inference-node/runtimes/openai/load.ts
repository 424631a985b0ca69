// Reads an engine's own queue from its metrics, and lets fewer requests start while that queue grows.
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { Flavor } from "./flavor.ts";

/** Requests of the whole engine, ours and others'. */
export interface EngineLoad {
  readonly running: number;
  readonly waiting: number;
}

/** Sums a gauge over its labels, such as ranks and models; undefined when the text has none of it. */
export function readLoad(prometheus: string, gauges: NonNullable<Flavor["gauges"]>): EngineLoad | undefined {
  const running = sumOf(prometheus, gauges.running);
  const waiting = sumOf(prometheus, gauges.waiting);
  return running === undefined || waiting === undefined ? undefined : { running, waiting };
}

function sumOf(text: string, name: string): number | undefined {
  let sum: number | undefined;
  for (let at = text.indexOf(name); at !== -1; at = text.indexOf(name, at + name.length)) {
    const startsLine = at === 0 || text[at - 1] === "\n";
    const after = text[at + name.length];
    if (!startsLine || (after !== "{" && after !== " ")) continue;
    const end = text.indexOf("\n", at);
    const value = Number(/^[^{\s]+(?:\{.*\})? +(\S+)/.exec(text.slice(at, end === -1 ? undefined : end))?.[1]);
    if (Number.isFinite(value)) sum = (sum ?? 0) + value;
  }
  return sum;
}

/** A queue this long for two readings is no burst any more. */
const waitingReadings = 2;

/**
 * The most of our requests that shall run on the engine at once. While the engine queues, none is started on top of those
 * that run, so that waiting happens here, where it is fair and bounded; then the limit grows again, an eighth a reading.
 */
export class Pace {
  readonly #max: number;
  #limit: number;
  #queued = 0;

  constructor(max: number) {
    this.#max = max;
    this.#limit = max;
  }

  get limit(): number {
    return this.#limit;
  }

  /** Takes a reading; `ours` are the requests that we run there. True when the limit changed. */
  read({ waiting }: EngineLoad, ours: number): boolean {
    this.#queued = waiting > 0 ? this.#queued + 1 : 0;
    if (this.#queued >= waitingReadings) return this.#set(Math.max(1, ours - waiting));
    if (waiting > 0) return false;
    return this.#set(this.#limit + Math.max(1, Math.ceil(this.#max / 8)));
  }

  /** The engine refused a request for want of room. */
  refused(ours: number): boolean {
    return this.#set(Math.max(1, Math.min(this.#limit, ours)));
  }

  #set(limit: number): boolean {
    const next = Math.min(this.#max, limit);
    const changed = next !== this.#limit;
    this.#limit = next;
    return changed;
  }
}

export interface LoadWatchOptions {
  /** The engine's metrics as text; undefined when it has none. Rejects when it can't be asked now. */
  readonly read: (signal: AbortSignal) => Promise<string | undefined>;
  readonly gauges: NonNullable<Flavor["gauges"]>;
  readonly onLoad: (load: EngineLoad) => void;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Without metrics the next look is a minute later: they may be switched on by a restart. */
const withoutMetricsMs = 60_000;

/** Reads until the signal is aborted. */
export async function watchLoad(options: LoadWatchOptions, signal: AbortSignal): Promise<void> {
  const { read, gauges, onLoad, intervalMs, clock, log } = options;
  let had: boolean | undefined;
  while (!signal.aborted) {
    const text = await read(signal).catch(() => "");
    const load = text ? readLoad(text, gauges) : undefined;
    if (load !== undefined) onLoad(load);
    const has = load !== undefined;
    if (text !== "" && has !== had) {
      log({ level: "info", event: has ? "upstream.metrics" : "upstream.no_metrics" });
      had = has;
    }
    await clock.sleep(has || text === "" ? intervalMs : withoutMetricsMs, signal).catch(() => undefined);
  }
}
