// Vectors for the scripted model: unit length, the same for the same tokens, different for different ones.
import { createHash } from "node:crypto";

/** Length of the scripted model's own vectors. */
export const embeddingDimensions = 384;

/** The vector of some token ids, `dimensions` numbers long. */
export function embeddingOf(ids: readonly number[], dimensions: number): number[] {
  const seed = createHash("sha256").update(Uint32Array.from(ids)).digest();
  const values: number[] = [];
  for (let block = 0; values.length < dimensions; block += 1) {
    const bytes = createHash("sha256").update(seed).update(String(block)).digest();
    for (let at = 0; at < bytes.length && values.length < dimensions; at += 4)
      values.push(bytes.readInt32LE(at) / 2 ** 31);
  }
  const norm = Math.hypot(...values) || 1;
  return values.map((value) => value / norm);
}
