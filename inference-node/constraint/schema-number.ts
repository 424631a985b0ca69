// The numbers that a schema allows: bounds and multiples, exactly.
import { both, isEmpty, multiplesAutomaton } from "./automaton.ts";
import { textRule } from "./automaton-grammar.ts";
import { refused, unsupported } from "./constraint-error.ts";
import { integerRule, numberRule } from "./json-grammar.ts";
import type { SchemaContext } from "./json-schema.ts";
import { compareDecimals, type Decimal, decimalOf, type NumberBounds, numberRange } from "./number-range.ts";
import type { Alternative } from "./schema-document.ts";
import { keyPath, numberOf, type Part, textOfKeyword } from "./schema-part.ts";

const multipleMax = 1_000;
const int32: NumberBounds = { min: decimalOf(-(2 ** 31)), max: decimalOf(2 ** 31 - 1) };

export function numberBody(
  { builder, work }: SchemaContext,
  parts: Alternative,
  type: "integer" | "number",
): string | undefined {
  const bounds = parts.flatMap(boundsOf).reduce(tighter, {});
  const multiples = parts.flatMap((part) => multipleOf(part) ?? []);
  const whole = type === "integer" || multiples.length > 0;
  const bounded = bounds.min !== undefined || bounds.max !== undefined;
  if (!bounded && multiples.length === 0) return whole ? integerRule(builder) : numberRule(builder);
  let automaton = numberRange(bounds, whole, work);
  for (const multiple of multiples) automaton = both(automaton, multiplesAutomaton(multiple), work);
  return isEmpty(automaton) ? undefined : textRule(builder, "digits", automaton);
}

/** Whether a number is as the parts say. */
export function allowsNumber(parts: Alternative, value: number): boolean {
  const { min, max, minExclusive, maxExclusive } = parts.flatMap(boundsOf).reduce(tighter, {});
  const at = decimalOf(value);
  if (min !== undefined && (minExclusive ? compareDecimals(at, min) <= 0 : compareDecimals(at, min) < 0)) return false;
  if (max !== undefined && (maxExclusive ? compareDecimals(at, max) >= 0 : compareDecimals(at, max) > 0)) return false;
  return parts.every((part) => value % (multipleOf(part) ?? value) === 0 || value === 0);
}

function boundsOf(part: Part): NumberBounds[] {
  const bounds: NumberBounds[] = textOfKeyword(part, "format") === "int32" ? [int32] : [];
  // Draft 4 says by a boolean that the bound beside it is exclusive.
  const flag = (keyword: string): boolean => part.schema[keyword] === true;
  const number = (keyword: string): Decimal | undefined => {
    if (typeof part.schema[keyword] === "boolean") return undefined;
    const value = numberOf(part, keyword);
    return value === undefined ? undefined : decimalOf(value);
  };
  bounds.push({ min: number("minimum"), minExclusive: flag("exclusiveMinimum") });
  bounds.push({ max: number("maximum"), maxExclusive: flag("exclusiveMaximum") });
  bounds.push({ min: number("exclusiveMinimum"), minExclusive: true });
  bounds.push({ max: number("exclusiveMaximum"), maxExclusive: true });
  return bounds;
}

function tighter(a: NumberBounds, b: NumberBounds): NumberBounds {
  const lower = [a, b].filter(({ min }) => min !== undefined);
  const upper = [a, b].filter(({ max }) => max !== undefined);
  lower.sort(
    (x, y) =>
      compareDecimals(y.min as Decimal, x.min as Decimal) || Number(y.minExclusive ?? 0) - Number(x.minExclusive ?? 0),
  );
  upper.sort(
    (x, y) =>
      compareDecimals(x.max as Decimal, y.max as Decimal) || Number(y.maxExclusive ?? 0) - Number(x.maxExclusive ?? 0),
  );
  return {
    min: lower[0]?.min,
    minExclusive: lower[0]?.minExclusive ?? false,
    max: upper[0]?.max,
    maxExclusive: upper[0]?.maxExclusive ?? false,
  };
}

function multipleOf(part: Part): number | undefined {
  const value = numberOf(part, "multipleOf");
  if (value === undefined) return undefined;
  const path = keyPath(part.path, "multipleOf");
  if (value <= 0) throw refused(path, "must be above 0.");
  if (!Number.isInteger(value))
    throw unsupported(path, "must be a whole number: no decimal is a multiple of a fraction exactly.");
  if (value > multipleMax) throw unsupported(path, `must be at most ${multipleMax}.`);
  return value;
}
