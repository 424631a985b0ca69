// Half floats as the hardware and Float16Array round them.
import { expect, test } from "vitest";
import { toHalfFloats } from "./half.ts";

/** Node 24 has it; the node itself also runs on Node 22. */
const Native = (globalThis as { Float16Array?: new (values: Float32Array) => ArrayBufferView }).Float16Array;

function native(values: Float32Array): Uint16Array {
  if (Native === undefined) throw new Error("This test needs a Node with Float16Array.");
  const { buffer, byteOffset } = new Native(values);
  return new Uint16Array(buffer, byteOffset, values.length);
}

test("every half, its neighbours and the ties between halves are rounded as Float16Array rounds them", () => {
  const bits: number[] = [];
  for (let half = 0; half < 0x7c00; half += 1) {
    const exponent = half >>> 10;
    const mantissa = half & 0x3ff;
    const value = exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
    const ulp = exponent === 0 ? 2 ** -24 : 2 ** (exponent - 25);
    for (const number of [value, value + ulp / 2]) {
      const at = new Uint32Array(Float32Array.of(number).buffer)[0] ?? 0;
      bits.push(at, at + 1, Math.max(0, at - 1), at | 0x80000000);
    }
  }
  const values = new Float32Array(Uint32Array.from(bits).buffer);
  expect(Buffer.compare(Buffer.from(toHalfFloats(values).buffer), Buffer.from(native(values).slice().buffer))).toBe(0);
});

test("what has no half is zero, infinite or no number", () => {
  const values = Float32Array.of(0, -0, 1e-30, 65_504, 65_519, 65_520, 1e30, -1e30, Infinity, -Infinity, Number.NaN);
  expect([...toHalfFloats(values)]).toEqual([
    0, 0x8000, 0, 0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7c00, 0xfc00, 0x7e00,
  ]);
});
