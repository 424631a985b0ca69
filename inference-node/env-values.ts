// Reads single values of the environment; a wrong one is a sentence for the operator.

/** A mistake in the configuration; the message is a sentence for the operator. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** One of the values; an empty variable counts as absent. */
export function oneOf<T extends string>(env: Environment, name: string, values: readonly T[], fallback: T): T {
  const text = env[name] || fallback;
  const found = values.find((value) => value === text);
  if (found === undefined) throw new ConfigError(`${name} must be one of ${values.join(", ")}, but is "${text}".`);
  return found;
}

/** A whole number within the bounds; undefined for an absent or empty variable. */
export function integer(env: Environment, name: string, min: number, max: number): number | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new ConfigError(`${name} must be a whole number from ${min} to ${max}, but is "${text}".`);
}
