// The regular expressions that the node reads, as a tree.
import type { CharSet } from "./char-set.ts";

/** `start` and `end` are the anchors: they match where nothing is before, or after. */
export type Regex =
  | { type: "chars"; set: CharSet }
  | { type: "sequence"; parts: readonly Regex[] }
  | { type: "choice"; options: readonly Regex[] }
  | { type: "repeat"; part: Regex; min: number; max: number | undefined }
  | { type: "start" }
  | { type: "end" };

export const empty: Regex = { type: "sequence", parts: [] };

export function chars(set: CharSet): Regex {
  return { type: "chars", set };
}

export function sequence(...parts: readonly Regex[]): Regex {
  return parts.length === 1 ? (parts[0] as Regex) : { type: "sequence", parts };
}

export function choice(...options: readonly Regex[]): Regex {
  return options.length === 1 ? (options[0] as Regex) : { type: "choice", options };
}

export function repeat(part: Regex, min: number, max?: number): Regex {
  return { type: "repeat", part, min, max };
}

/** A text as the expression that matches it alone. */
export function textOf(text: string): Regex {
  return sequence(
    ...Array.from(text, (char) => {
      const code = char.codePointAt(0) as number;
      return chars([[code, code]]);
    }),
  );
}
