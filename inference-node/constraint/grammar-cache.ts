// Keeps the last grammars made, by what they were made of: a compilation takes up to a second, and clients repeat themselves.

export interface GrammarCacheLimits {
  readonly entries: number;
  /** Of keys and grammars together. */
  readonly chars: number;
}

const usualLimits: GrammarCacheLimits = { entries: 64, chars: 8_000_000 };

export class GrammarCache {
  readonly #limits: GrammarCacheLimits;
  /** The least recently used first. */
  readonly #kept = new Map<string, string>();
  #chars = 0;

  constructor(limits: GrammarCacheLimits = usualLimits) {
    this.#limits = limits;
  }

  /** The grammar of this key, made now if it is not here. What `make` throws is not kept. */
  get(key: string, make: () => string): string {
    const known = this.#kept.get(key);
    const grammar = known ?? make();
    this.#kept.delete(key);
    this.#kept.set(key, grammar);
    if (known === undefined) this.#chars += key.length + grammar.length;
    for (const [oldest, kept] of this.#kept) {
      if (this.#kept.size <= this.#limits.entries && this.#chars <= this.#limits.chars) break;
      this.#kept.delete(oldest);
      this.#chars -= oldest.length + kept.length;
    }
    return grammar;
  }
}
