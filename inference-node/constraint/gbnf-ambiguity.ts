// Finds grammars that leave ever more readings open: the engine keeps each, and would not come back from the next token.
import { includes } from "./char-set.ts";
import { refused } from "./constraint-error.ts";
import type { GbnfGrammar, GbnfItem, GbnfSequence } from "./gbnf-syntax.ts";

/**
 * Readings that may be open at once, and ways through the characters of one token, which the engine follows one by one.
 * A schema of 500 optional properties has 500 open at the start of a name.
 */
const limits = { readings: 1_024, ways: 4_096, tokenChars: 16, states: 1_000, steps: 250_000 } as const;

/**
 * What may stand open at one place, and what is looked at to find that: the engine does it all before the first
 * character, so that rules which begin with each other twice over stop it at once.
 */
const placeLimits = { leaves: 20_000, expanded: 50_000 } as const;

/** What is still to be matched: an item, then the rest. The same rest is the same object. */
interface Todo {
  readonly id: number;
  readonly item: GbnfItem;
  readonly rest: Todo | undefined;
}

/** Open readings, each with the ways that led to it since the token began. */
interface Readings {
  readonly open: ReadonlyMap<Todo, number>;
  /** Characters since the token began. */
  readonly chars: number;
}

/**
 * Throws INVALID_ARGUMENT when texts are found that leave too many readings open. It looks where there are most of them,
 * and stops after a while: a grammar that got worse only later is not found, but what doubles does so soon. Rules in
 * `ignored` are taken for empty, such as space, in which it would lose itself.
 */
export function requireFewReadings(grammar: GbnfGrammar, path: string, ignored: readonly string[] = []): void {
  const rules = new Map(grammar.rules);
  for (const name of ignored) rules.set(name, [[]]);
  const reader = new Reader({ rules }, path);
  const seen = new Set<string>();
  const pending: Readings[] = [reader.begin()];
  for (let states = 0; states < limits.states && reader.stepsLeft > 0; states++) {
    const next = takeWidest(pending);
    if (next === undefined) return;
    for (const readings of reader.goOn(next)) {
      // The same readings again, but by twice the ways, are worth another look.
      const ways = [...readings.open.values()].reduce((sum, one) => sum + one, 0);
      const key = `${Math.floor(Math.log2(ways + 1))} ${[...readings.open.keys()].map(({ id }) => id).join()}`;
      if (seen.has(key)) continue;
      seen.add(key);
      pending.push(readings);
    }
  }
}

/** The one with most readings, of those the last found: deep is where they multiply. */
function takeWidest(pending: Readings[]): Readings | undefined {
  let widest = pending.length - 1;
  for (let i = widest - 1; i >= 0; i--) {
    if ((pending[i] as Readings).open.size > (pending[widest] as Readings).open.size) widest = i;
  }
  return pending.splice(widest, 1)[0];
}

class Reader {
  readonly #rules: GbnfGrammar["rules"];
  readonly #path: string;
  readonly #todos = new Map<GbnfItem, Map<Todo | undefined, Todo>>();
  /** What is left of a text or a repetition, so that it too is the same object each time. */
  readonly #rests = new Map<GbnfItem, GbnfItem>();
  #ids = 0;
  stepsLeft: number = limits.steps;

  constructor({ rules }: GbnfGrammar, path: string) {
    this.#rules = rules;
    this.#path = path;
  }

  begin(): Readings {
    const root = this.#todo({ type: "rule", name: "root", at: 0 }, undefined);
    return { open: new Map([...this.#leaves(root)].map((leaf) => [leaf, 1])), chars: 0 };
  }

  /** For each kind of next character, the readings that it leaves; those of most readings last. */
  goOn({ open, chars }: Readings): Readings[] {
    const fresh = chars >= limits.tokenChars;
    const kinds = new Map<string, Readings>();
    for (const code of this.#sampleChars(open.keys())) {
      const taken = [...open].filter(([leaf]) => takes(leaf.item, code));
      const kind = taken.map(([{ id }]) => id).join();
      if (!kinds.has(kind)) kinds.set(kind, this.#after(taken, fresh, fresh ? 1 : chars + 1));
    }
    return [...kinds.values()].sort((a, b) => a.open.size - b.open.size);
  }

  #after(taken: readonly [Todo, number][], fresh: boolean, chars: number): Readings {
    const open = new Map<Todo, number>();
    let ways = 0;
    for (const [leaf, before] of taken) {
      for (const next of this.#leaves(this.#afterLeaf(leaf))) {
        const added = fresh ? 1 : before;
        ways += added;
        open.set(next, (open.get(next) ?? 0) + added);
      }
    }
    if (open.size > limits.readings || ways > limits.ways) throw this.#tooAmbiguous();
    return { open, chars };
  }

  #tooAmbiguous(): Error {
    return refused(
      this.#path,
      "is too ambiguous: there is a text that can be read in thousands of ways. Let alternatives differ by how they begin.",
    );
  }

  /** A character of each range that is open, of a few dozen. */
  #sampleChars(leaves: Iterable<Todo>): Set<number> {
    const codes = new Set<number>();
    for (const { item } of leaves) {
      if (codes.size >= 48) break;
      if (item.type === "text") codes.add(item.text.codePointAt(0) as number);
      if (item.type === "class") for (const [first] of item.set.slice(0, 6)) codes.add(first);
    }
    return codes;
  }

  #afterLeaf({ item, rest }: Todo): Todo | undefined {
    if (item.type !== "text") return rest;
    const text = item.text.slice((item.text.codePointAt(0) as number) > 0xffff ? 2 : 1);
    return text === ""
      ? rest
      : this.#todo(
          this.#rest(item, () => ({ type: "text", text })),
          rest,
        );
  }

  /** The characters that may come first, with what follows each. */
  #leaves(from: Todo | undefined): Set<Todo> {
    const leaves = new Set<Todo>();
    const seen = new Set<Todo | undefined>([from]);
    for (const todo of seen) {
      this.stepsLeft -= 1;
      if (leaves.size > placeLimits.leaves || seen.size > placeLimits.expanded) throw this.#tooAmbiguous();
      if (todo === undefined || this.stepsLeft < 0) continue;
      const { item, rest } = todo;
      if (item.type === "class" || (item.type === "text" && item.text !== "")) leaves.add(todo);
      else if (item.type === "text") seen.add(rest);
      else if (item.type === "repeat") for (const next of this.#repeated(item, rest)) seen.add(next);
      else for (const option of this.#optionsOf(item)) seen.add(this.#sequence(option, rest));
    }
    return leaves;
  }

  #optionsOf(item: Extract<GbnfItem, { type: "rule" | "group" }>): readonly GbnfSequence[] {
    return item.type === "group" ? item.options : (this.#rules.get(item.name) ?? []);
  }

  #repeated(item: Extract<GbnfItem, { type: "repeat" }>, rest: Todo | undefined): (Todo | undefined)[] {
    const { min, max } = item;
    const over = min === 0 ? [rest] : [];
    if (max === 0) return over;
    const left = this.#rest(item, () => ({
      type: "repeat",
      item: item.item,
      min: Math.max(0, min - 1),
      max: max === undefined ? undefined : max - 1,
    }));
    const again = min === 0 && max === undefined ? item : left;
    return [...over, this.#todo(item.item, this.#todo(again, rest))];
  }

  #sequence(items: GbnfSequence, rest: Todo | undefined): Todo | undefined {
    return items.reduceRight<Todo | undefined>((after, item) => this.#todo(item, after), rest);
  }

  #todo(item: GbnfItem, rest: Todo | undefined): Todo {
    const byRest = this.#todos.get(item) ?? new Map<Todo | undefined, Todo>();
    this.#todos.set(item, byRest);
    const known = byRest.get(rest);
    if (known !== undefined) return known;
    const todo = { id: this.#ids++, item, rest };
    byRest.set(rest, todo);
    return todo;
  }

  #rest(item: GbnfItem, make: () => GbnfItem): GbnfItem {
    const known = this.#rests.get(item);
    if (known !== undefined) return known;
    const made = make();
    this.#rests.set(item, made);
    return made;
  }
}

function takes(item: GbnfItem, code: number): boolean {
  return item.type === "class" ? includes(item.set, code) : item.type === "text" && item.text.codePointAt(0) === code;
}
