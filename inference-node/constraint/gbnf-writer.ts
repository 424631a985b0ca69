// Writes a grammar that was read and checked in the engine's own words, within the builder's bounds.

import type { GbnfGrammar, GbnfItem, GbnfSequence } from "./gbnf-syntax.ts";
import { charClass, type GrammarBuilder, literal } from "./grammar-builder.ts";

/** Adds the grammar's rules under names of the builder's; gives that of its root. */
export function gbnfRule(builder: GrammarBuilder, { rules }: GbnfGrammar): string {
  const names = new Map(Array.from(rules.keys(), (name) => [name, builder.reserve(name)]));
  const bodyOf = (options: readonly GbnfSequence[]): string =>
    options.map((option) => option.map(itemBody).join(" ") || '""').join(" | ");
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
