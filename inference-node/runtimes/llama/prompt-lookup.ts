// Guesses the next tokens from what the sequence said before: after the same few tokens, the same may follow again.

/** So many last tokens are looked for earlier in the sequence; fewer match by chance too often. */
const wanted = 3;

/** The guesses of one sequence. Cost is constant a token, memory one entry a token. */
export class PromptLookup {
  readonly #tokens: number[] = [];
  /** Where each run of `wanted` tokens ended last. */
  readonly #ends = new Map<string, number>();
  /** Of the run that ends at the last token: where it ended before. */
  #before: number | undefined;

  constructor(tokens: Iterable<number>) {
    for (const token of tokens) this.push(token);
  }

  /** Takes the sequence's next token. */
  push(token: number): void {
    this.#tokens.push(token);
    const end = this.#tokens.length;
    if (end < wanted) return;
    const run = this.#tokens.slice(end - wanted).join();
    this.#before = this.#ends.get(run);
    this.#ends.set(run, end);
  }

  /** At most `max` tokens that may come next; none when there is nothing to go by. */
  guess(max: number): Uint32Array {
    if (this.#before === undefined) return new Uint32Array();
    return Uint32Array.from(this.#tokens.slice(this.#before, this.#before + max));
  }
}
