// The decimal numbers between two bounds, as automata over their digits.
import { type Automaton, determinised, type Nondeterministic, type Work } from "./automaton.ts";
import type { CharSet } from "./char-set.ts";

/** Digits of a number altogether: two that differ are then never the same double, and every reader takes them exactly. */
const digitsMax = 15;
const fractionDigitsMax = 8;

/** Bounds as exact decimals. */
export interface NumberBounds {
  readonly min?: Decimal | undefined;
  readonly max?: Decimal | undefined;
  readonly minExclusive?: boolean;
  readonly maxExclusive?: boolean;
}

/** `units` × 10^-`scale`. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

const zero: Decimal = { units: 0n, scale: 0 };

/** The decimal that a JSON number's shortest writing is. */
export function decimalOf(value: number): Decimal {
  const [, sign, whole, fraction, exponent] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  const units = BigInt(`${sign}${whole}${fraction ?? ""}`);
  const scale = (fraction?.length ?? 0) - Number(exponent ?? 0);
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 };
}

/** Below, at or above 0 as the first is less than, equal to or greater than the second. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const [x, y] = [a, b].map(({ units, scale: own }) => units * 10n ** BigInt(scale - own)) as [bigint, bigint];
  return x < y ? -1 : x > y ? 1 : 0;
}

/**
 * The numbers within bounds, without an exponent, without a sign before zero, and with up to 8 digits behind the point, or
 * none when `whole`. No state when there is none.
 */
export function numberRange(bounds: NumberBounds, whole: boolean, work: Work): Automaton {
  const numbers = new DecimalNfa(whole);
  const { min, max, minExclusive = false, maxExclusive = false } = bounds;
  const start = numbers.state();
  const fromZero = min === undefined || compareDecimals(min, zero) < 0;
  numbers.magnitudes(start, {
    low: fromZero ? zero : min,
    lowExclusive: fromZero ? false : minExclusive,
    high: max,
    highExclusive: maxExclusive,
  });
  const belowZero = max !== undefined && compareDecimals(max, zero) < 0;
  const minus = numbers.state();
  numbers.read[start]?.push({ set: [[0x2d, 0x2d]], to: minus });
  numbers.magnitudes(minus, {
    low: belowZero ? negated(max) : zero,
    lowExclusive: belowZero ? maxExclusive : true,
    high: min === undefined ? undefined : negated(min),
    highExclusive: minExclusive,
  });
  return determinised(numbers, work);
}

function negated({ units, scale }: Decimal): Decimal {
  return { units: -units, scale };
}

/** Bounds of a number without its sign; the lower one is not negative. */
interface Magnitudes {
  readonly low: Decimal;
  readonly high: Decimal | undefined;
  readonly lowExclusive: boolean;
  readonly highExclusive: boolean;
}

interface Digits {
  readonly whole: string;
  readonly fraction: string;
}

/** Reads digits from the left, and knows whether they are so far those of a bound. */
class DecimalNfa implements Nondeterministic {
  readonly silent: { to: number; kind: "always" }[][] = [];
  readonly read: { set: CharSet; to: number }[][] = [];
  readonly start = 1;
  readonly end = 0;
  readonly #wholeOnly: boolean;

  constructor(wholeOnly: boolean) {
    this.#wholeOnly = wholeOnly;
    this.state();
  }

  state(): number {
    this.silent.push([]);
    this.read.push([]);
    return this.read.length - 1;
  }

  /** From a state, the numbers of each count of digits before the point: only then are the bounds' digits beside them. */
  magnitudes(from: number, bounds: Magnitudes): void {
    if (bounds.high !== undefined && bounds.high.units < 0n) return;
    const low = digitsOf(bounds.low);
    const high = bounds.high === undefined ? undefined : digitsOf(bounds.high);
    for (let length = low.whole.length; length <= Math.min(digitsMax, high?.whole.length ?? digitsMax); length++) {
      const fraction = this.#wholeOnly ? 0 : Math.min(fractionDigitsMax, digitsMax - length);
      const walk = new Walk(this, bounds, length, fraction, low, high);
      const first = walk.at(0, length === low.whole.length, length === high?.whole.length);
      this.silent[from]?.push({ to: first, kind: "always" });
    }
  }
}

/** The numbers with so many digits before the point, and at most so many behind it. */
class Walk {
  readonly #nfa: DecimalNfa;
  readonly #bounds: Magnitudes;
  readonly #length: number;
  readonly #fraction: number;
  readonly #low: string;
  readonly #high: string;
  readonly #states = new Map<string, number>();

  constructor(nfa: DecimalNfa, bounds: Magnitudes, length: number, fraction: number, low: Digits, high?: Digits) {
    this.#nfa = nfa;
    this.#bounds = bounds;
    this.#length = length;
    this.#fraction = fraction;
    this.#low = low.whole + low.fraction;
    this.#high = high === undefined ? "" : high.whole + high.fraction;
  }

  /** The state behind `index` digits; `onLow` and `onHigh` say that they are the bound's. */
  at(index: number, onLow: boolean, onHigh: boolean): number {
    const key = `${index}${onLow}${onHigh}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state = this.#nfa.state();
    this.#states.set(key, state);
    if (index < this.#length) this.#digits(state, index, onLow, onHigh);
    else {
      if (this.#mayEnd(index, onLow, onHigh)) this.#nfa.silent[state]?.push({ to: this.#nfa.end, kind: "always" });
      if (index < this.#length + this.#fraction) this.#digits(this.#behindPoint(state, index), index, onLow, onHigh);
    }
    return state;
  }

  #behindPoint(state: number, index: number): number {
    if (index > this.#length) return state;
    const point = this.#nfa.state();
    this.#nfa.read[state]?.push({ set: [[0x2e, 0x2e]], to: point });
    return point;
  }

  #digits(state: number, index: number, onLow: boolean, onHigh: boolean): void {
    const leading = index === 0 && this.#length > 1 ? 1 : 0;
    const low = onLow ? digitAt(this.#low, index) : leading;
    const high = onHigh ? digitAt(this.#high, index) : 9;
    for (let digit = low; digit <= high; digit++) {
      const to = this.at(index + 1, onLow && digit === low, onHigh && digit === high);
      this.#nfa.read[state]?.push({ set: [[0x30 + digit, 0x30 + digit]], to });
    }
  }

  /** What follows of a bound, had it all its digits, decides when the number ends on it. */
  #mayEnd(index: number, onLow: boolean, onHigh: boolean): boolean {
    const rest = (digits: string): boolean => /[1-9]/.test(digits.slice(index));
    if (onLow && (rest(this.#low) || this.#bounds.lowExclusive)) return false;
    return !onHigh || !this.#bounds.highExclusive || rest(this.#high);
  }
}

function digitAt(digits: string, index: number): number {
  return Number(digits[index] ?? "0");
}

function digitsOf({ units, scale }: Decimal): Digits {
  const text = units.toString().padStart(scale + 1, "0");
  return { whole: text.slice(0, text.length - scale), fraction: text.slice(text.length - scale) };
}
