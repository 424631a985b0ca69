// Tokens as bytes: what each token adds to the output, exactly, also where it is half a character.
import type { AddonModel } from "./addon.ts";

/** llama.cpp's LLAMA_TOKEN_ATTR_* bits that matter here. */
const attribute = { UNKNOWN: 1, UNUSED: 2, CONTROL: 8, USER_DEFINED: 16, BYTE: 32 } as const;

/** How a vocabulary spells bytes in its token strings. */
export type TokenSpelling = "byte-level" | "sentencepiece" | "detokenized";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A model's tokens, as text and as bytes. Bytes are cached: at most one entry a token of the vocabulary. */
export class Vocabulary {
  readonly size: number;
  readonly #model: AddonModel;
  readonly #spelling: TokenSpelling;
  readonly #bytes: (Uint8Array | undefined)[];
  #silent: readonly number[] | undefined;
  #byFirstByte: number[][] | undefined;

  constructor(model: AddonModel, size: number, vocabularyType: string) {
    this.#model = model;
    this.size = size;
    this.#bytes = new Array(size);
    this.#spelling = chooseSpelling(model, size, vocabularyType);
  }

  /** The bytes that a token adds to the output; none for a control token. */
  bytes(token: number): Uint8Array {
    const known = this.#bytes[token];
    if (known !== undefined) return known;
    const bytes = spell(this.#model, token, this.#spelling);
    this.#bytes[token] = bytes;
    return bytes;
  }

  /** The text of a control token; empty for any other. */
  controlText(token: number): string {
    const isControl = (this.#model.getTokenAttributes(token) & (attribute.CONTROL | attribute.UNKNOWN)) !== 0;
    return isControl ? this.#model.getTokenString(token) : "";
  }

  /** Tokens whose first byte lies in a range. */
  tokensBeginning(firstByte: number, lastByte: number): readonly number[] {
    if (this.#byFirstByte === undefined) {
      this.#byFirstByte = Array.from({ length: 256 }, () => []);
      for (let token = 0; token < this.size; token++) this.#byFirstByte[this.bytes(token)[0] ?? -1]?.push(token);
    }
    return this.#byFirstByte.slice(firstByte, lastByte + 1).flat();
  }

  /** Tokens that add nothing to the output and do not end it. */
  silentTokens(): readonly number[] {
    this.#silent ??= Array.from({ length: this.size }, (_, token) => token).filter(
      (token) => this.bytes(token).length === 0 && !this.#model.isEogToken(token),
    );
    return this.#silent;
  }

  /** Texts of the control tokens, which must not act as such inside a message. */
  controlTokenTexts(): string[] {
    return this.#textsOf(attribute.CONTROL | attribute.UNKNOWN);
  }

  /** Texts that are found in a text before anything else is, and are one token each. */
  indivisibleTexts(): string[] {
    return this.#textsOf(attribute.CONTROL | attribute.UNKNOWN | attribute.USER_DEFINED);
  }

  /** Texts of the tokens with a space or newline behind their first byte; bytes of no whole character are U+FFFD. */
  *textsWithSpace(): Generator<string> {
    for (let token = 0; token < this.size; token++) {
      const bytes = this.bytes(token);
      if (bytes.indexOf(0x20, 1) > 0 || bytes.indexOf(0x0a, 1) > 0) yield decoder.decode(bytes);
    }
  }

  #textsOf(attributes: number): string[] {
    const texts: string[] = [];
    for (let token = 0; token < this.size; token++) {
      if ((this.#model.getTokenAttributes(token) & attributes) === 0) continue;
      const text = this.#model.getTokenString(token);
      if (text.length > 1) texts.push(text);
    }
    return texts;
  }

  /** Length of the longest token in bytes, control tokens included: no text has fewer tokens than its bytes by this. */
  longestTokenBytes(): number {
    let longest = 1;
    for (let token = 0; token < this.size; token++) {
      longest = Math.max(longest, this.bytes(token).length, this.#model.getTokenString(token).length);
    }
    return longest;
  }
}

function spell(model: AddonModel, token: number, spelling: TokenSpelling): Uint8Array {
  const attributes = model.getTokenAttributes(token);
  if ((attributes & (attribute.CONTROL | attribute.UNUSED)) !== 0) return new Uint8Array();
  if (spelling === "byte-level") return byteLevelBytes(model.getTokenString(token));
  if (spelling === "sentencepiece") {
    const text = model.getTokenString(token);
    const byte = (attributes & attribute.BYTE) !== 0 ? /^<0x([0-9A-Fa-f]{2})>$/.exec(text) : null;
    if (byte) return Uint8Array.of(Number.parseInt(byte[1] as string, 16));
    return encoder.encode(text.replaceAll("\u2581", " "));
  }
  return encoder.encode(model.detokenize(Uint32Array.of(token), false));
}

/** Takes the spelling that the type suggests if it agrees with the engine on a sample of whole-character tokens. */
function chooseSpelling(model: AddonModel, size: number, vocabularyType: string): TokenSpelling {
  const suggested =
    vocabularyType === "bpe" ? "byte-level" : vocabularyType === "spm" ? "sentencepiece" : "detokenized";
  const stride = Math.max(1, Math.floor(size / 500));
  for (let token = 0; token < size; token += stride) {
    const truth = model.detokenize(Uint32Array.of(token), false);
    // The engine strips the space before a first word; half characters have no text to compare.
    if (truth.includes("\uFFFD")) continue;
    const text = decoder.decode(spell(model, token, suggested));
    if (text !== truth && text !== ` ${truth}`) return "detokenized";
  }
  return suggested;
}

let byteOfChar: Map<string, number> | undefined;

/**
 * Bytes of a byte-level BPE token string, in which every byte stands as a printable character: printable Latin-1 bytes
 * as themselves, the others from U+0100 on in order (GPT-2's scheme).
 */
export function byteLevelBytes(text: string): Uint8Array {
  byteOfChar ??= byteAlphabet();
  const bytes: number[] = [];
  for (const char of text) {
    const byte = byteOfChar.get(char);
    if (byte === undefined) bytes.push(...encoder.encode(char));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function byteAlphabet(): Map<string, number> {
  const alphabet = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    alphabet.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return alphabet;
}
