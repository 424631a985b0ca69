// Reads fields of JSON that somebody else wrote: what is missing or of another type is undefined.

export type JsonObject = Readonly<Record<string, unknown>>;

/** Undefined for what is no object, also for arrays. */
export function objectOf(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

export function field(value: unknown, name: string): unknown {
  const object = objectOf(value);
  return object !== undefined && Object.hasOwn(object, name) ? object[name] : undefined;
}

export function stringField(value: unknown, name: string): string | undefined {
  const found = field(value, name);
  return typeof found === "string" ? found : undefined;
}

export function numberField(value: unknown, name: string): number | undefined {
  const found = field(value, name);
  return typeof found === "number" && Number.isFinite(found) ? found : undefined;
}

/** A count that fits the contract's uint32. */
export function countField(value: unknown, name: string): number | undefined {
  const found = numberField(value, name);
  return found !== undefined && Number.isInteger(found) && found >= 0 && found <= 0xffff_ffff ? found : undefined;
}

/** Empty for what is no array. */
export function listField(value: unknown, name: string): readonly unknown[] {
  const found = field(value, name);
  return Array.isArray(found) ? found : [];
}

/** Undefined for text that is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
