// Cuts a text into the pieces that are streamed, and says which tokens lie behind each.
import { tokenBytes, tokenize } from "./tokenizer.ts";

/** A text with the place of each of its tokens. */
export interface TokenizedText {
  readonly text: string;
  readonly ids: readonly number[];
  /** Where each token ends in the text, in UTF-16 code units. */
  readonly ends: readonly number[];
}

/** Tokenizes a text; lone surrogates become U+FFFD. */
export function tokenizedText(raw: string): TokenizedText {
  const text = raw.toWellFormed();
  const ids = tokenize(text);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let end = 0;
  const ends = ids.map((id) => {
    end += decoder.decode(tokenBytes(id)).length;
    return end;
  });
  return { text, ids, ends };
}

/** A piece of a text: tokens `firstToken` to `tokenEnd` (not included) begin in it. */
export interface Piece {
  text: string;
  firstToken: number;
  tokenEnd: number;
}

/**
 * Cuts the first `length` code units of a text into `chunks` pieces of nearly equal numbers of characters, or into its
 * tokens when `chunks` is undefined. Never cuts a character; never yields an empty piece.
 */
export function cutPieces({ text, ends }: TokenizedText, length: number, chunks: number | undefined): Piece[] {
  const visible = text.slice(0, length);
  const borders = chunks === undefined ? ends : chunkBorders(visible, chunks);
  const pieces: Piece[] = [];
  let start = 0;
  let firstToken = 0;
  for (const border of borders) {
    const end = Math.min(border, length);
    if (end <= start) continue;
    let tokenEnd = firstToken;
    while (tokenEnd < ends.length && (tokenEnd === 0 ? 0 : (ends[tokenEnd - 1] ?? 0)) < end) tokenEnd += 1;
    pieces.push({ text: visible.slice(start, end), firstToken, tokenEnd });
    start = end;
    firstToken = tokenEnd;
  }
  return pieces;
}

function chunkBorders(text: string, chunks: number): number[] {
  const characters = [...text];
  const borders: number[] = [];
  let border = 0;
  let next = 0;
  for (let chunk = 1; chunk <= Math.min(chunks, characters.length); chunk += 1) {
    const until = Math.floor((chunk * characters.length) / Math.min(chunks, characters.length));
    for (; next < until; next += 1) border += characters[next]?.length ?? 0;
    borders.push(border);
  }
  return borders;
}
