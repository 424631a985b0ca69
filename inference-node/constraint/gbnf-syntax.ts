// A GBNF grammar as a tree, as llama.cpp's parser reads it.
import type { CharSet } from "./char-set.ts";

/** Repetitions and groups are kept as they are written; `set` is what may be generated of the class. */
export type GbnfItem =
  | { type: "text"; text: string }
  | { type: "class"; set: CharSet }
  | { type: "rule"; name: string; at: number }
  | { type: "group"; options: readonly GbnfSequence[] }
  | { type: "repeat"; item: GbnfItem; min: number; max: number | undefined };

export type GbnfSequence = readonly GbnfItem[];

export interface GbnfGrammar {
  /** Rules by name; each has its alternatives. */
  readonly rules: ReadonlyMap<string, readonly GbnfSequence[]>;
}
