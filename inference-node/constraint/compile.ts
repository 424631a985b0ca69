// Turns a request's constraint into the grammar that the engine is given; the last ones made are kept.
import type { Constraint } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { automatonOf, isEmpty, Work } from "./automaton.ts";
import { textRule } from "./automaton-grammar.ts";
import { refused } from "./constraint-error.ts";
import { requireFewReadings } from "./gbnf-ambiguity.ts";
import { checkGbnf } from "./gbnf-check.ts";
import { parseGbnf } from "./gbnf-parser.ts";
import { gbnfRule } from "./gbnf-writer.ts";
import { GrammarBuilder } from "./grammar-builder.ts";
import { GrammarCache } from "./grammar-cache.ts";
import { gapRule, objectRule, spaceRule } from "./json-grammar.ts";
import { schemaRule } from "./json-schema.ts";
import { parseRegex } from "./regex-parser.ts";

/** The contract's fields that the errors name. */
const fields = {
  jsonObject: "constraint.json_object",
  jsonSchema: "constraint.json_schema.schema_json",
  regex: "constraint.regex",
  grammar: "constraint.grammar",
} as const;

const cache = new GrammarCache();

/**
 * The constraint as a GBNF grammar with a rule called root. Throws INVALID_ARGUMENT, with the field and the path in it, for
 * what is malformed, outside of the subset in docs/structured-output.md, or too large.
 */
export function compileConstraint(kind: Constraint["kind"]): string | undefined {
  if (kind.case === undefined) return undefined;
  const source = kind.case === "jsonObject" ? "" : kind.case === "jsonSchema" ? kind.value.schemaJson : kind.value;
  const key = `${kind.case} ${source}`;
  return cache.get(key, () => compile(kind.case, source));
}

function compile(kind: keyof typeof fields, source: string): string {
  const path = fields[kind];
  const builder = new GrammarBuilder(path);
  const grammar = builder.grammar(rootOf(builder, kind, source, path));
  // What the compilers write is held to the same rules as what a caller does: a schema too may have no finite document.
  const written = parseGbnf(grammar, path);
  checkGbnf(written, path);
  // What was an automaton leaves one reading open.
  if (kind === "jsonSchema") requireFewReadings(written, path, [spaceRule(builder), gapRule(builder)]);
  if (kind === "grammar") requireFewReadings(written, path);
  return grammar;
}

function rootOf(builder: GrammarBuilder, kind: keyof typeof fields, source: string, path: string): string {
  switch (kind) {
    case "jsonObject":
      return objectRule(builder);
    case "jsonSchema":
      return schemaRule(builder, parsedJson(source, path), path);
    case "regex": {
      const automaton = automatonOf(parseRegex(source, path), new Work(path));
      if (isEmpty(automaton)) throw refused(path, "matches no text.");
      return textRule(builder, "state", automaton);
    }
    case "grammar": {
      const grammar = parseGbnf(source, path);
      checkGbnf(grammar, path);
      return gbnfRule(builder, grammar);
    }
  }
}

function parsedJson(source: string, path: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    throw refused(path, "is no JSON.");
  }
}
