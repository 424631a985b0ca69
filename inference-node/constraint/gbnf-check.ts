// Finds what would make the engine abort, hang or never end: undefined rules, left recursion, rules without an end.
import { anyChar, includes } from "./char-set.ts";
import { refused } from "./constraint-error.ts";
import type { GbnfGrammar, GbnfItem, GbnfSequence } from "./gbnf-syntax.ts";

/** Throws INVALID_ARGUMENT, with the rule's name, unless the engine can hold a text to the grammar. */
export function checkGbnf({ rules }: GbnfGrammar, path: string): void {
  if (!rules.has("root")) throw refused(path, "has no rule called root.");
  const reached = reachable(rules, path);
  // The engine looks for a rule that may be empty only at its own alternatives, and runs on without end where an empty
  // rule of rules stands before a recursion: this looks through them.
  const mayBeEmpty = holding(rules, (item, known) => canBeEmpty(item, known));
  const mayEnd = holding(rules, (item, known) => canEnd(item, known));
  for (const name of reached) {
    if (!mayEnd.has(name)) throw refused(path, `has a rule that no text can end: ${name}.`);
  }
  for (const name of reached) requireWholeRepeats(rules.get(name) ?? [], mayBeEmpty, name, path);
  requireNoLeftRecursion(rules, mayBeEmpty, path);
}

function reachable(rules: GbnfGrammar["rules"], path: string): Set<string> {
  const reached = new Set(["root"]);
  for (const name of reached) {
    for (const reference of references(rules.get(name) ?? [])) {
      if (!rules.has(reference)) throw refused(path, `refers to a rule that is not there: ${reference}.`);
      reached.add(reference);
    }
  }
  return reached;
}

function* references(options: readonly GbnfSequence[]): Generator<string> {
  for (const item of options.flat()) {
    if (item.type === "rule") yield item.name;
    if (item.type === "group") yield* references(item.options);
    if (item.type === "repeat") yield* references([[item.item]]);
  }
}

/** The rules that have an alternative all of whose items hold, found until no more is. */
function holding(
  rules: GbnfGrammar["rules"],
  holds: (item: GbnfItem, known: ReadonlySet<string>) => boolean,
): Set<string> {
  const users = new Map<string, string[]>();
  for (const [name, options] of rules) {
    for (const reference of references(options)) users.set(reference, [...(users.get(reference) ?? []), name]);
  }
  const known = new Set<string>();
  const todo = new Set(rules.keys());
  for (const name of todo) {
    todo.delete(name);
    if (known.has(name) || !(rules.get(name) ?? []).some((option) => option.every((item) => holds(item, known))))
      continue;
    known.add(name);
    for (const user of users.get(name) ?? []) todo.add(user);
  }
  return known;
}

function canBeEmpty(item: GbnfItem, known: ReadonlySet<string>): boolean {
  switch (item.type) {
    case "text":
      return item.text === "";
    case "class":
      return false;
    case "rule":
      return known.has(item.name);
    case "group":
      return item.options.some((option) => option.every((one) => canBeEmpty(one, known)));
    case "repeat":
      return item.min === 0 || canBeEmpty(item.item, known);
  }
}

function canEnd(item: GbnfItem, known: ReadonlySet<string>): boolean {
  switch (item.type) {
    case "text":
      return Array.from(item.text).every((char) => includes(anyChar, char.codePointAt(0) as number));
    case "class":
      return item.set.length > 0;
    case "rule":
      return known.has(item.name);
    case "group":
      return item.options.some((option) => option.every((one) => canEnd(one, known)));
    case "repeat":
      return item.min === 0 || canEnd(item.item, known);
  }
}

function requireWholeRepeats(
  options: readonly GbnfSequence[],
  mayBeEmpty: ReadonlySet<string>,
  name: string,
  path: string,
): void {
  for (const item of options.flat()) {
    if (item.type === "group") requireWholeRepeats(item.options, mayBeEmpty, name, path);
    if (item.type !== "repeat") continue;
    if (canBeEmpty(item.item, mayBeEmpty)) {
      throw refused(path, `has a rule that repeats what may be empty, and so never ends: ${name}.`);
    }
    requireWholeRepeats([[item.item]], mayBeEmpty, name, path);
  }
}

/** A rule that may begin with itself. Goes through the rules without a call each: there may be a chain of thousands. */
function requireNoLeftRecursion(rules: GbnfGrammar["rules"], mayBeEmpty: ReadonlySet<string>, path: string): void {
  const done = new Set<string>();
  for (const root of rules.keys()) {
    const trail: { name: string; next: Iterator<string> }[] = [];
    const open = new Set<string>();
    const enter = (name: string): void => {
      open.add(name);
      trail.push({ name, next: beginnings(rules.get(name) ?? [], mayBeEmpty)[Symbol.iterator]() });
    };
    if (!done.has(root)) enter(root);
    for (let top = trail.at(-1); top !== undefined; top = trail.at(-1)) {
      const { value: name, done: over } = top.next.next();
      if (over) {
        open.delete(top.name);
        done.add(top.name);
        trail.pop();
      } else if (open.has(name)) {
        throw refused(path, `has a rule that begins with itself (left recursion): ${name}.`);
      } else if (!done.has(name)) {
        enter(name);
      }
    }
  }
}

/** The rules that a text of these alternatives may begin with. */
function* beginnings(options: readonly GbnfSequence[], mayBeEmpty: ReadonlySet<string>): Generator<string> {
  for (const option of options) {
    for (const item of option) {
      if (item.type === "rule") yield item.name;
      if (item.type === "group") yield* beginnings(item.options, mayBeEmpty);
      if (item.type === "repeat") yield* beginnings([[item.item]], mayBeEmpty);
      if (!canBeEmpty(item, mayBeEmpty)) break;
    }
  }
}
