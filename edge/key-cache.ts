// A short-lived, bounded memory of key look-ups, so that the hot path reads no database at a steady rate.
import type { Clock } from "./clock.ts";

/** A revocation made in another isolate is obeyed after at most this long. */
const TTL_MS = 900;
const KNOWN_MAX = 10_000;
/** Unknown keys have room of their own: guesses must not push real keys out. */
const UNKNOWN_MAX = 1000;

interface Entry<T> {
  value: T;
  until: number;
}

/** Remembers what a hash led to; null is the memory that it led to nothing. */
export class KeyCache<T extends object> {
  readonly #clock: Clock;
  readonly #known = new Map<string, Entry<T>>();
  readonly #unknown = new Map<string, Entry<null>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is remembered, or undefined when nothing is. */
  get(hash: string): T | null | undefined {
    const entry = this.#known.get(hash) ?? this.#unknown.get(hash);
    if (entry === undefined) return undefined;
    if (this.#clock.now() < entry.until) return entry.value;
    this.delete(hash);
    return undefined;
  }

  set(hash: string, value: T | null): void {
    this.delete(hash);
    const until = this.#clock.now() + TTL_MS;
    if (value === null) put(this.#unknown, hash, { value, until }, UNKNOWN_MAX);
    else put(this.#known, hash, { value, until }, KNOWN_MAX);
  }

  delete(hash: string): void {
    this.#known.delete(hash);
    this.#unknown.delete(hash);
  }
}

/** Adds an entry; the oldest makes room. Entries are added anew at each refresh, so the oldest is the soonest to expire. */
function put<V>(map: Map<string, V>, key: string, value: V, max: number): void {
  if (map.size >= max) {
    const oldest = map.keys().next();
    if (!oldest.done) map.delete(oldest.value);
  }
  map.set(key, value);
}
