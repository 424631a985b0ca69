// Reads fields of parsed JSON, each with its type and bounds; a wrong one is INVALID_ARGUMENT with its path.
import { invalid } from "../../node-error.ts";

/** Checks a value at a path and gives it back typed. */
export type FieldReader<T> = (value: unknown, path: string) => T;

/** Reads one field of an object; an absent or null field is undefined. */
export type ObjectReader = <T>(key: string, read: FieldReader<T>) => T | undefined;

/** A reader of the object's fields. Throws INVALID_ARGUMENT when it is none or has a key that is not known. */
export function readObject(value: unknown, path: string, knownKeys: readonly string[]): ObjectReader {
  if (typeof value !== "object" || value === null || Array.isArray(value)) invalid(path, "must be an object.");
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const key of fields.keys()) {
    if (!knownKeys.includes(key)) invalid(path, `has an unknown key "${key.slice(0, 64)}".`);
  }
  return (key, read) => {
    const field = fields.get(key) ?? undefined;
    return field === undefined ? undefined : read(field, `${path}.${key}`);
  };
}

/** A string. */
export function stringOf(value: unknown, path: string): string {
  return typeof value === "string" ? value : invalid(path, "must be a string.");
}

/** A boolean. */
export function booleanOf(value: unknown, path: string): boolean {
  return typeof value === "boolean" ? value : invalid(path, "must be true or false.");
}

/** A finite number from `min` to `max`. */
export function numberOf(min: number, max: number): FieldReader<number> {
  return (value, path) => {
    if (typeof value === "number" && value >= min && value <= max) return value;
    return invalid(path, `must be a number from ${min} to ${max}.`);
  };
}

/** A whole number from `min` to `max`. */
export function integerOf(min: number, max: number): FieldReader<number> {
  return (value, path) => {
    if (Number.isInteger(value)) return numberOf(min, max)(value, path);
    return invalid(path, `must be a whole number from ${min} to ${max}.`);
  };
}

/** A list of at most `max` items. */
export function arrayOf<T>(max: number, item: FieldReader<T>): FieldReader<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) return invalid(path, "must be a list.");
    if (value.length > max) return invalid(path, `must have at most ${max} items.`);
    return value.map((one, index) => item(one, `${path}[${index}]`));
  };
}
