// The pieces that the engine computes a batch in, and what one more of them costs a step.

/** How many runs of slots that follow each other there are: the engine computes each by itself, and reads all weights for it. */
export function countPieces(slots: ReadonlySet<number>): number {
  let pieces = 0;
  for (const slot of slots) if (!slots.has(slot - 1)) pieces += 1;
  return pieces;
}

/** What is kept of the sums at each new step: some hundred steps count. */
const decay = 0.99;
/** A step that took longer than this many times what was expected was held up by something else. */
const outlierFactor = 3;

/**
 * Learns what a piece costs from steps of decodes alone, as a line: a step takes `piece · pieces + token · tokens`. While all
 * steps look the same, nothing tells the two apart, and a piece is taken for what a token costs. That is about right on a
 * CPU, where a token takes as long to compute as the weights to read, and too little on a GPU, where reading them is nearly
 * the whole step: moves then come later than they would pay. Steps with other numbers of pieces or tokens show more. That
 * first guess weighs as much as one step.
 */
export class PieceCost {
  #pieces2 = 0;
  #tokens2 = 0;
  #both = 0;
  #piecesMs = 0;
  #tokensMs = 0;

  /** Learns from a step of that many decodes, each of one token. */
  observe(tokens: number, pieces: number, elapsedMs: number): void {
    const { piece, token } = this.#fit();
    const expected = piece * pieces + token * tokens;
    const ms = expected > 0 ? Math.min(elapsedMs, outlierFactor * expected) : elapsedMs;
    this.#pieces2 = decay * this.#pieces2 + pieces * pieces;
    this.#tokens2 = decay * this.#tokens2 + tokens * tokens;
    this.#both = decay * this.#both + pieces * tokens;
    this.#piecesMs = decay * this.#piecesMs + pieces * ms;
    this.#tokensMs = decay * this.#tokensMs + tokens * ms;
  }

  /** What one more piece adds to a step, in milliseconds; 0 before anything was seen. */
  get ms(): number {
    return Math.max(0, this.#fit().piece);
  }

  /** Least squares, with one made-up step by which a piece costs what a token does. */
  #fit(): { piece: number; token: number } {
    const [pp, tt, pt] = [this.#pieces2 + 1, this.#tokens2 + 1, this.#both - 1];
    const determinant = pp * tt - pt * pt;
    if (determinant <= 0) return { piece: 0, token: 0 };
    return {
      piece: (tt * this.#piecesMs - pt * this.#tokensMs) / determinant,
      token: (pp * this.#tokensMs - pt * this.#piecesMs) / determinant,
    };
  }
}
