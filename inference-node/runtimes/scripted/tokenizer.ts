// The scripted model's tokenizer: up to four bytes of UTF-8 a token, whole characters only, a new token at each space.
import { invalid } from "../../node-error.ts";

export const tokenBytesMax = 4;
const encoder = new TextEncoder();
// ignoreBOM: a byte order mark is a character like any other.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text to token ids. A token is up to four bytes of whole characters and begins anew at each white space, so that
 * English has about four characters a token; its id is those bytes read as a big-endian number, so that ids turn back
 * into text without any table. U+0000 is a token of its own, 0. Lone surrogates become U+FFFD.
 */
export function tokenize(text: string): number[] {
  const ids: number[] = [];
  let id = 0;
  let length = 0;
  const end = (): void => {
    if (length > 0) ids.push(id);
    id = 0;
    length = 0;
  };
  for (const character of text.toWellFormed()) {
    const bytes = encoder.encode(character);
    const startsToken = character === "\0" || /\s/.test(character);
    if (startsToken || length + bytes.length > tokenBytesMax) end();
    for (const byte of bytes) id = id * 256 + byte;
    length += bytes.length;
    if (character === "\0") end();
  }
  end();
  return ids;
}

/** A token's bytes; never empty. */
export function tokenBytes(id: number): Uint8Array {
  const bytes = new Uint8Array([id >>> 24, (id >>> 16) & 255, (id >>> 8) & 255, id & 255]);
  const first = bytes.findIndex((byte) => byte !== 0);
  return bytes.subarray(first === -1 ? tokenBytesMax - 1 : first);
}

/** A token's text. Throws INVALID_ARGUMENT, with `param`, for an id whose bytes are no UTF-8: it is in no vocabulary. */
export function tokenText(id: number, param: string): string {
  try {
    return decoder.decode(tokenBytes(id));
  } catch {
    return invalid(param, `has ${id}, which is no token.`);
  }
}
