// Turns the bytes of generated tokens into text that may be shown: whole characters, nothing of a stop string.

/** What may be shown after a token, and whether a stop string ended the text. */
export interface OutputPiece<Mark> {
  readonly text: string;
  /** Marks of the tokens that this text came from. */
  readonly marks: readonly Mark[];
  /** The stop string that ended the output, if one did. It is not part of the text. */
  readonly stop: string | undefined;
}

/** A stop string with its failure function (Knuth, Morris, Pratt), so that each character is looked at once. */
interface StopMatcher {
  readonly text: string;
  readonly fallback: Uint32Array;
  /** How many of its characters the output ends with now. */
  matched: number;
}

/**
 * Assembles one answer's text. Bytes that do not complete a UTF-8 character and characters that may begin a stop string
 * are held back until they are decided; what never was UTF-8 becomes U+FFFD.
 */
export class OutputText<Mark = never> {
  // ignoreBOM keeps a generated U+FEFF, which a decoder otherwise swallows at the start.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #stops: StopMatcher[];
  #held = "";
  /** Characters decoded and shown so far, to know which tokens lie behind what is shown. */
  #decoded = 0;
  #shown = 0;
  #marks: { mark: Mark; start: number; end: number }[] = [];

  constructor(stopStrings: readonly string[]) {
    this.#stops = stopStrings.map((text) => ({ text, fallback: failureFunction(text), matched: 0 }));
  }

  /** Takes the next token's bytes; `mark` comes back with the text that the token is part of. */
  push(bytes: Uint8Array, mark?: Mark): OutputPiece<Mark> {
    const start = this.#decoded;
    const text = this.#decoder.decode(bytes, { stream: true });
    this.#decoded += text.length;
    if (mark !== undefined) this.#marks.push({ mark, start, end: this.#decoded });
    return this.#show(text);
  }

  /** Ends the answer: whatever was held back is text after all, unless the decoder's rest completes a stop string. */
  end(): OutputPiece<Mark> {
    const rest = this.#decoder.decode();
    this.#decoded += rest.length;
    const piece = this.#show(rest);
    if (piece.stop !== undefined) return piece;
    const text = piece.text + this.#held;
    this.#held = "";
    this.#shown = this.#decoded;
    return { text, marks: [...piece.marks, ...this.#takeMarks()], stop: undefined };
  }

  #show(added: string): OutputPiece<Mark> {
    const buffer = this.#held + added;
    if (this.#stops.length === 0) return this.#release(buffer, buffer.length);
    const offset = this.#held.length;
    for (let i = 0; i < added.length; i++) {
      const stop = this.#advance(added[i] as string);
      if (stop !== undefined) return this.#stopAt(buffer, offset + i + 1 - stop.length, stop);
    }
    let hold = 0;
    for (const { matched } of this.#stops) hold = Math.max(hold, matched);
    return this.#release(buffer, buffer.length - hold);
  }

  /** Feeds one character to every matcher; gives the longest stop string that it completes. */
  #advance(char: string): string | undefined {
    let completed: string | undefined;
    for (const stop of this.#stops) {
      let matched = stop.matched;
      while (matched > 0 && stop.text[matched] !== char) matched = stop.fallback[matched - 1] as number;
      if (stop.text[matched] === char) matched += 1;
      stop.matched = matched;
      if (matched === stop.text.length && stop.text.length > (completed?.length ?? 0)) completed = stop.text;
    }
    return completed;
  }

  #release(buffer: string, length: number): OutputPiece<Mark> {
    this.#held = buffer.slice(length);
    this.#shown += length;
    return { text: buffer.slice(0, length), marks: this.#takeMarks(), stop: undefined };
  }

  #stopAt(buffer: string, length: number, stop: string): OutputPiece<Mark> {
    this.#held = "";
    this.#shown += length;
    const shown = this.#shown;
    const marks = this.#marks.filter(({ start }) => start < shown).map(({ mark }) => mark);
    this.#marks = [];
    return { text: buffer.slice(0, length), marks, stop };
  }

  #takeMarks(): Mark[] {
    let count = 0;
    while (count < this.#marks.length && (this.#marks[count]?.end ?? 0) <= this.#shown) count += 1;
    return this.#marks.splice(0, count).map(({ mark }) => mark);
  }
}

function failureFunction(text: string): Uint32Array {
  const fallback = new Uint32Array(text.length);
  let matched = 0;
  for (let i = 1; i < text.length; i++) {
    while (matched > 0 && text[i] !== text[matched]) matched = fallback[matched - 1] as number;
    if (text[i] === text[matched]) matched += 1;
    fallback[i] = matched;
  }
  return fallback;
}
