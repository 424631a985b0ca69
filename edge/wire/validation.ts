// From zod's verdict to one sentence about one field of the request.
import { z } from "zod";
import { ApiError } from "../errors.ts";

/** A string that is Unicode: JSON can smuggle in halves of surrogate pairs, which no encoding of text has. */
export const text = z
  .string()
  .refine((value) => value.isWellFormed(), "must be valid Unicode, without lone surrogates");

/**
 * Checks a value and gives back what the schema made of it.
 *
 * @throws ApiError `invalid_request` that names the first offending field as OpenAI writes it: `messages[0].content`.
 */
export function checked<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [first] = result.error.issues;
  if (first === undefined) throw new ApiError("invalid_request");
  const { path, issue } = innermost(first, []);
  const param = paramOfPath(path);
  throw new ApiError("invalid_request", sentence(param, issue, valueAt(value, path)), { param: param || undefined });
}

/** `["messages", 0, "content"]` as `messages[0].content`. */
function paramOfPath(path: readonly PropertyKey[]): string {
  let param = "";
  for (const key of path) {
    if (typeof key === "number") param += `[${key}]`;
    else param += param === "" ? String(key) : `.${String(key)}`;
  }
  return param;
}

/** Of a union's branches, the one that got furthest says what is wrong; when none got further, the union itself does. */
function innermost(
  issue: z.core.$ZodIssue,
  above: readonly PropertyKey[],
): { path: readonly PropertyKey[]; issue: z.core.$ZodIssue } {
  const path = [...above, ...issue.path];
  if (issue.code !== "invalid_union") return { path, issue };
  const branch = issue.errors
    .flatMap(([first]) => (first === undefined ? [] : [first]))
    .find((first) => first.path.length > 0 || first.code !== "invalid_type");
  return branch === undefined ? { path, issue } : innermost(branch, path);
}

function sentence(param: string, issue: z.core.$ZodIssue, value: unknown): string {
  const subject = param === "" ? "The request body" : `\`${param}\``;
  if (value === undefined) return `${subject} is required.`;
  return `${subject} ${predicate(issue, value)}.`;
}

function predicate(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${article(issue.expected)}, not ${article(typeName(value))}`;
    case "too_small":
      return bound(issue.origin, issue.inclusive === false ? "more than" : "at least", issue.minimum);
    case "too_big":
      return bound(issue.origin, issue.inclusive === false ? "less than" : "at most", issue.maximum);
    case "invalid_value":
      return `must be ${issue.values.map((allowed) => JSON.stringify(allowed)).join(" or ")}`;
    case "invalid_union":
      return unionPredicate(issue, value);
    case "custom":
      return issue.message;
    default:
      return `is malformed: ${issue.message}`;
  }
}

function unionPredicate(issue: z.core.$ZodIssueInvalidUnion, value: unknown): string {
  if (issue.discriminator !== undefined) {
    const allowed = "options" in issue && Array.isArray(issue.options) ? issue.options : [];
    return `must be ${allowed.map((option) => JSON.stringify(option)).join(" or ")}`;
  }
  const types = issue.errors.flatMap(([first]) => (first?.code === "invalid_type" ? [article(first.expected)] : []));
  return types.length === 0 ? "is malformed" : `must be ${types.join(" or ")}, not ${article(typeName(value))}`;
}

function bound(origin: string, relation: string, limit: number | bigint): string {
  const one = Number(limit) === 1;
  if (origin === "string") return `must have ${relation} ${limit} ${one ? "character" : "characters"}`;
  if (origin === "array") return `must have ${relation} ${limit} ${one ? "entry" : "entries"}`;
  return `must be ${relation} ${limit}`;
}

function article(type: string): string {
  if (type === "int") return "an integer";
  if (type === "null" || type === "undefined") return type;
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  // JSON has no infinity, but 1e999 is read as one.
  if (typeof value === "number" && !Number.isFinite(value)) return "number beyond all bounds";
  if (typeof value === "number" && !Number.isInteger(value)) return "fraction";
  return typeof value;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}
