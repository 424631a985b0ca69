// Writes a grammar that was read and checked in the engine's own words, within the builder's bounds.

import { type CharSet, charsOf, union } from "./char-set.ts";
import type { GbnfGrammar, GbnfItem, GbnfSequence } from "./gbnf-syntax.ts";
import { charClass, type GrammarBuilder, literal } from "./grammar-builder.ts";

/** Adds the grammar's rules under names of the builder's; gives that of its root. */
export function gbnfRule(builder: GrammarBuilder, { rules }: GbnfGrammar): string {
  const names = new Map(Array.from(rules.keys(), (name) => [name, builder.reserve(name)]));
  const bodyOf = (options: readonly GbnfSequence[]): string =>
    joinedChars(options, rules)
      .map((option) => option.map(itemBody).join(" ") || '""')
      .join(" | ");
  const itemBody = (item: GbnfItem): string => {
    switch (item.type) {
      case "text":
        return literal(item.text);
      case "class":
        // A class that leaves nothing stands only where its alternative is never taken.
        return charClass(item.set.length > 0 ? item.set : [[0, 0]]);
      case "rule":
        return names.get(item.name) as string;
      case "group":
        return `(${bodyOf(item.options)})`;
      case "repeat":
        return builder.repeat("again", repeatable(item.item), item.min, item.max);
    }
  };
  const repeatable = (item: GbnfItem): string =>
    item.type === "rule" || item.type === "class" ? itemBody(item) : builder.rule("part", itemBody(item));
  for (const [name, options] of rules) builder.define(names.get(name) as string, bodyOf(options));
  return names.get("root") as string;
}

/** Alternatives of one character each as one class: were they to overlap, the engine would follow each on its own. */
function joinedChars(options: readonly GbnfSequence[], rules: GbnfGrammar["rules"]): readonly GbnfSequence[] {
  const single = options.map((option) => singleChar(option, rules, 0));
  const sets = single.filter((set) => set !== undefined);
  if (sets.length < 2) return options;
  return [[{ type: "class", set: union(...sets) }], ...options.filter((_, i) => single[i] === undefined)];
}

const aliasDepthMax = 8;

function singleChar(option: GbnfSequence, rules: GbnfGrammar["rules"], depth: number): CharSet | undefined {
  const [item] = option;
  if (option.length !== 1 || item === undefined || depth > aliasDepthMax) return undefined;
  if (item.type === "class") return item.set;
  if (item.type === "text") return [...item.text].length === 1 ? charsOf(item.text) : undefined;
  if (item.type === "repeat") return undefined;
  const inner = item.type === "group" ? item.options : (rules.get(item.name) ?? []);
  const sets = inner.slice(0, 16).map((one) => singleChar(one, rules, depth + 1));
  return inner.length > 16 || sets.includes(undefined) ? undefined : union(...sets.filter((set) => set !== undefined));
}
