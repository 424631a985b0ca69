// The strings that a schema allows: length, pattern and format, all at once.
import { type Automaton, automatonOf, both, isEmpty, lengthsOf, searchAutomatonOf, type Work } from "./automaton.ts";
import { jsonStringRule } from "./automaton-grammar.ts";
import { anyChar } from "./char-set.ts";
import { refused, unsupported } from "./constraint-error.ts";
import { countMax } from "./grammar-builder.ts";
import { stringRule } from "./json-grammar.ts";
import type { SchemaContext } from "./json-schema.ts";
import { parseRegex } from "./regex-parser.ts";
import { chars, repeat } from "./regex-syntax.ts";
import type { Alternative } from "./schema-document.ts";
import { countOf, keyPath, type Part, textOfKeyword } from "./schema-part.ts";
import { formatNames, formatPattern } from "./string-formats.ts";

export function stringBody({ builder, work }: SchemaContext, parts: Alternative): string | undefined {
  const { min, max } = lengthBounds(parts);
  if (max !== undefined && min > max) return undefined;
  const shape = shapeOf(parts, work);
  if (shape === undefined) return stringRule(builder, min, max);
  const automaton = ofLength(shape, min, max, work);
  return isEmpty(automaton) ? undefined : jsonStringRule(builder, "text", automaton);
}

/** Whether a string is as the parts say. */
export function allowsString(
  parts: Alternative,
  text: string,
  accepts: (shape: Automaton) => boolean,
  work: Work,
): boolean {
  const { min, max } = lengthBounds(parts);
  const length = [...text].length;
  if (length < min || (max !== undefined && length > max)) return false;
  const shape = shapeOf(parts, work);
  return shape === undefined || accepts(shape);
}

function lengthBounds(parts: Alternative): { min: number; max: number | undefined } {
  const min = Math.max(0, ...parts.map((part) => bounded(part, "minLength") ?? 0));
  const maxima = parts.flatMap((part) => bounded(part, "maxLength") ?? []);
  return { min, max: maxima.length === 0 ? undefined : Math.min(...maxima) };
}

function bounded(part: Part, keyword: string): number | undefined {
  const count = countOf(part, keyword);
  if (count !== undefined && count > countMax)
    throw refused(keyPath(part.path, keyword), `must be at most ${countMax}.`);
  return count;
}

/** All patterns and formats together; undefined when there is none. */
function shapeOf(parts: Alternative, work: Work): Automaton | undefined {
  const shapes = parts.flatMap((part) => [...patternOf(part, work), ...formatOf(part, work)]);
  return shapes.reduce<Automaton | undefined>(
    (all, one) => (all === undefined ? one : both(all, one, work)),
    undefined,
  );
}

function patternOf(part: Part, work: Work): Automaton[] {
  const pattern = textOfKeyword(part, "pattern");
  if (pattern === undefined) return [];
  const path = keyPath(part.path, "pattern");
  return [searchAutomatonOf(parseRegex(pattern, path), work.at(path))];
}

function formatOf(part: Part, work: Work): Automaton[] {
  const format = textOfKeyword(part, "format");
  const pattern = format === undefined ? "annotation" : formatPattern(format);
  if (pattern === "annotation") return [];
  const path = keyPath(part.path, "format");
  if (pattern === undefined) {
    throw unsupported(path, `is not one that generation can be held to, which are ${formatNames.join(", ")}.`);
  }
  return [automatonOf(parseRegex(pattern, path), work.at(path))];
}

function ofLength(shape: Automaton, min: number, max: number | undefined, work: Work): Automaton {
  const { shortest, longest } = lengthsOf(shape);
  const low = min > shortest ? min : 0;
  const high = max !== undefined && max < longest ? max : undefined;
  if (low === 0 && high === undefined) return shape;
  if (high !== undefined && low > high) return { states: [] };
  return both(shape, automatonOf(repeat(chars(anyChar), low, high), work), work);
}
