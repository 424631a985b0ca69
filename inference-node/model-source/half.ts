// Rounds 32-bit floats to 16-bit ones (IEEE 754 binary16, to nearest, ties to even), as Float16Array does where it exists.

/** Converts the numbers; what is too large becomes infinite, as everywhere. */
export function toHalfFloats(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let index = 0; index < bits.length; index++) halves[index] = halfOf(bits[index] ?? 0);
  return halves;
}

const smallestNormal = 0x38800000;
const infinity = 0x7f800000;
/** The first exponent that a half has no room for. */
const tooLarge = 0x47800000;

function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > infinity) return sign | 0x7e00;
  if (magnitude >= tooLarge) return sign | 0x7c00;
  if (magnitude < smallestNormal) return sign | subnormal(magnitude);
  // A carry out of the mantissa is the next exponent, up to infinity.
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}

function subnormal(magnitude: number): number {
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return 0;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return rest > tie || (rest === tie && (kept & 1) === 1) ? kept + 1 : kept;
}
