// Tokenises texts slice by slice, so that a long one never holds up the streams of this process for long.
import type { AddonModel } from "./addon.ts";

/** UTF-16 units that are tokenised at once: one or two milliseconds. */
export const sliceChars = 2_048;
/** What a call costs besides its characters, in characters: many short texts take time as one long one does. */
const callChars = 64;

/**
 * Between a letter and one of these a text may be cut, when no token reaches across and no tokenizer's rules look back
 * over it: the tokens of the parts are then those of the whole.
 */
const borderCandidates = [" ", "\n"];
// A letter's last bytes alone, in a token that is no whole character, decode to U+FFFD.
const borderPattern = /[\p{L}\uFFFD]([ \n])/gu;
const letter = /\p{L}/u;
/** Where a text without a border is best cut: pretokenizers split there too. */
const softBorder = /[^\p{L}\p{M}\p{N}\s]/u;

export interface SlicedTokenizerOptions {
  readonly model: AddonModel;
  /** Texts of all tokens that hold white space behind their beginning. */
  readonly textsWithSpace: Iterable<string>;
  /** Texts that are one token wherever they stand, and must not be cut. All far shorter than a slice. */
  readonly indivisible: readonly string[];
  /** Lets the streams go on. */
  readonly pause: () => Promise<void>;
}

/**
 * The tokens of texts. A text is cut at borders where that changes no token. One without a border for a whole slice, such
 * as base64, is cut where it must: it is the same text, and at that place perhaps not the shortest spelling of it.
 */
export class SlicedTokenizer {
  readonly #model: AddonModel;
  readonly #pause: () => Promise<void>;
  readonly #indivisible: readonly string[];
  readonly #borders: ReadonlySet<string>;
  /** Done when the long texts before are: one after the other, so that answers keep coming. */
  #line: Promise<unknown> = Promise.resolve();

  constructor({ model, textsWithSpace, indivisible, pause }: SlicedTokenizerOptions) {
    this.#model = model;
    this.#pause = pause;
    this.#indivisible = indivisible;
    this.#borders = joinsAnywhere(model) ? exactBorders(model, [...indivisible, ...textsWithSpace]) : new Set();
  }

  /**
   * Tokens of the texts one after the other; `onCount` is told how many there are so far, and may throw. What fits one
   * slice is done at once, longer texts wait for those before them. Rejects with the signal's reason when it is aborted.
   */
  async tokenize(
    texts: readonly string[],
    specialTokens: boolean,
    { onCount, signal }: { onCount: (tokens: number) => void; signal: AbortSignal },
  ): Promise<Uint32Array[]> {
    const work = this.#work(texts, specialTokens, onCount);
    let state = work.next();
    if (state.done) return state.value;
    const rest = this.#line.then(async () => {
      while (!state.done) {
        signal.throwIfAborted();
        await this.#pause();
        state = work.next();
      }
      return state.value;
    });
    this.#line = rest.catch(() => undefined);
    return await rest;
  }

  /** Yields where the streams may go on. */
  *#work(
    texts: readonly string[],
    specialTokens: boolean,
    onCount: (tokens: number) => void,
  ): Generator<void, Uint32Array[]> {
    const parts: Uint32Array[] = [];
    let tokens = 0;
    let chars = 0;
    for (const text of texts) {
      for (const slice of this.#slices(text)) {
        if (chars > 0 && chars + slice.length > sliceChars) {
          yield;
          chars = 0;
        }
        const part = this.#model.tokenize(slice, specialTokens);
        chars += slice.length + callChars;
        tokens += part.length;
        onCount(tokens);
        parts.push(part);
      }
    }
    return parts;
  }

  *#slices(text: string): Generator<string> {
    let start = 0;
    // Without the space as a border a slice would get one in front of it: such a vocabulary takes texts whole.
    while (this.#borders.has(" ") && text.length - start > sliceChars) {
      const end = this.#cut(text, start, start + sliceChars);
      yield text.slice(start, end);
      start = end;
    }
    if (start < text.length) yield text.slice(start);
  }

  /** The last border in the second half from `start` to `end`, else the next best place. */
  #cut(text: string, start: number, end: number): number {
    let soft = 0;
    for (let at = end; at > (start + end) / 2; at--) {
      const next = text[at] as string;
      const isBorder = this.#borders.has(next);
      if (!isBorder && (soft > 0 || !softBorder.test(next))) continue;
      if (!letter.test(text[at - 1] as string)) continue;
      if (isBorder) return at;
      soft = at;
    }
    return this.#outsideIndivisible(text, soft || wholeCharacter(text, end));
  }

  #outsideIndivisible(text: string, at: number): number {
    for (const one of this.#indivisible) {
      const from = at - one.length + 1;
      const found = text.slice(from, at + one.length - 1).indexOf(one);
      if (found >= 0) return from + found;
    }
    return at;
  }
}

/** A cut between two UTF-16 units of one character would make two wrong ones of it. */
function wholeCharacter(text: string, at: number): number {
  const isSecond = (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
  return isSecond ? at - 1 : at;
}

/** Whether the tokens of two parts spell the two parts and nothing between them. */
function joinsAnywhere(model: AddonModel): boolean {
  const tokens = Uint32Array.of(...model.tokenize("ab", false), ...model.tokenize("cd", false));
  return model.detokenize(tokens, false).trim() === "abcd";
}

function exactBorders(model: AddonModel, tokenTexts: readonly string[]): Set<string> {
  const isExact = (border: string): boolean => {
    const parts = [...model.tokenize("ab", false), ...model.tokenize(`${border}cd`, false)];
    return model.tokenize(`ab${border}cd`, false).join() === parts.join();
  };
  const borders = new Set(borderCandidates.filter(isExact));
  for (const text of tokenTexts)
    for (const [, border] of text.matchAll(borderPattern)) borders.delete(border as string);
  return borders;
}
