// BERT's WordPiece as Hugging Face's tokenizers do it, id for id; llama.cpp's own differs on Hangul and much else.

export interface WordPieceVocabulary {
  /** In the order of their ids, continuations written `##…`. */
  readonly tokens: readonly string[];
  /** Whether the model knows small letters without accents only. */
  readonly lowercase: boolean;
}

/** Longer words are unknown. */
const wordCharsMax = 100;
/** A text is read in pieces of about so many UTF-16 units, so that a long one that is not wanted whole is not read whole. */
const pieceUnits = 4_096;
const specialTexts = /\[(?:PAD|UNK|CLS|SEP|MASK)\]/;

const cjk =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
/** Format and private characters too: they vanish, and do not part words. */
const dropped = /(?![\t\n\r])[\0\ufffd\p{Cc}\p{Cf}\p{Co}]/gu;
const accents = /\p{Mn}/gu;
const punctuation = /[!-/:-@[-`{-~\p{P}]/gu;
/** Where words part for certain, also before anything is dropped or decomposed. */
const boundary = /[\t\n\r \u3000]/g;

/** Turns texts into ids. Special tokens' texts in a text are text, unless asked otherwise. */
export class WordPiece {
  readonly size: number;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #lowercase: boolean;
  readonly #unknown: number;
  /** `[CLS]` and `[SEP]`, which begin and end each input. */
  readonly begin: number;
  readonly end: number;

  constructor({ tokens, lowercase }: WordPieceVocabulary) {
    this.size = tokens.length;
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    this.#lowercase = lowercase;
    [this.#unknown, this.begin, this.end] = ["[UNK]", "[CLS]", "[SEP]"].map((token) => {
      const id = this.#ids.get(token);
      if (id === undefined) throw new Error(`The model's vocabulary has no ${token}.`);
      return id;
    }) as [number, number, number];
  }

  /**
   * Ids of a text without `[CLS]` and `[SEP]`; at most `max` and those of a word more. One that is cut to `max` is the
   * beginning of what the whole text has.
   */
  encode(text: string, options: { readonly max?: number; readonly specialTokens?: boolean } = {}): number[] {
    const { max = Number.POSITIVE_INFINITY, specialTokens = false } = options;
    const ids: number[] = [];
    for (const part of specialTokens ? text.split(new RegExp(`(${specialTexts.source})`)) : [text]) {
      const special = specialTokens && specialTexts.test(part) ? this.#ids.get(part) : undefined;
      if (special !== undefined) ids.push(special);
      else this.#encodeText(part, max, ids);
      if (ids.length >= max) break;
    }
    return ids;
  }

  #encodeText(text: string, max: number, ids: number[]): void {
    for (const piece of pieces(text.toWellFormed())) {
      for (const word of this.#words(piece)) {
        if (ids.length >= max) return;
        this.#encodeWord(word, ids);
      }
    }
  }

  /** What BertNormalizer and BertPreTokenizer make of a text. */
  #words(text: string): string[] {
    let clean = text.replace(dropped, "").replace(cjk, " $& ");
    if (this.#lowercase) {
      const plain = clean.normalize("NFD").replace(accents, "");
      // Character by character: the whole text's rule for a final sigma is not Hugging Face's.
      clean = Array.from(plain, (character) => character.toLowerCase()).join("");
    }
    return clean
      .replace(punctuation, " $& ")
      .split(/\s+/u)
      .filter((word) => word !== "");
  }

  /** Greedy: the longest token that the rest begins with, again and again; a word that has no such way is unknown. */
  #encodeWord(word: string, ids: number[]): void {
    const characters = Array.from(word);
    const found: number[] = [];
    for (let start = 0; start < characters.length; ) {
      const next = characters.length > wordCharsMax ? undefined : this.#longest(characters, start);
      if (next === undefined) {
        ids.push(this.#unknown);
        return;
      }
      found.push(next.id);
      start = next.end;
    }
    ids.push(...found);
  }

  #longest(characters: readonly string[], start: number): { id: number; end: number } | undefined {
    for (let end = characters.length; end > start; end--) {
      const id = this.#ids.get((start === 0 ? "" : "##") + characters.slice(start, end).join(""));
      if (id !== undefined) return { id, end };
    }
    return undefined;
  }
}

/** Pieces that together have the words of the whole: each ends where words part. */
function* pieces(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    boundary.lastIndex = start + pieceUnits;
    const end = boundary.exec(text)?.index ?? text.length;
    yield text.slice(start, end);
    start = end;
  }
}

/** The vocabulary in a GGUF's spelling, which marks the beginning of a word instead of what continues one. */
export function wordPieceVocabulary(
  ggufTokens: readonly string[],
  lowercase: boolean | undefined,
): WordPieceVocabulary {
  const tokens = ggufTokens.map((token) => {
    if (token.startsWith("\u2581")) return token.slice(1);
    return /^\[.+\]$/.test(token) ? token : `##${token}`;
  });
  // A file that does not say: a model that knows capital letters has words with them.
  return { tokens, lowercase: lowercase ?? !tokens.some((token) => /^[A-Z][a-z]{2}/.test(token)) };
}
