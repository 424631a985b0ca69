// Weights for models that tests make: pseudo-random and the same each time.

/** Numbers from -scale to scale. */
export function seededWeights(seed: number, count: number, scale: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return scale * (state / 2 ** 31 - 1);
  });
}
