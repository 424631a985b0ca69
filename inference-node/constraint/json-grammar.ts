// JSON itself as grammar rules: values of any shape, strings of a length, and the space between.
import { type GrammarBuilder, literal } from "./grammar-builder.ts";

/**
 * Between tokens there is nothing, one space, or one line break with an indent. There is none before the first token nor
 * behind the last: the document ends at its closing bracket.
 */
export function spaceRule(builder: GrammarBuilder): string {
  return builder.rule("ws", '(" " | "\\n" [ \\t]{0,20})?');
}

/** Between a colon and its value. */
export function gapRule(builder: GrammarBuilder): string {
  return builder.rule("gap", '" "?');
}

/** One character of a JSON string, as it is or escaped; never half a surrogate pair. */
function charRule(builder: GrammarBuilder): string {
  const hex = "[0-9a-fA-F]";
  const escaped = builder.rule(
    "escape",
    [
      '["\\\\/bfnrt]',
      `"u" [0-9a-cA-CefEF] ${hex}{3}`,
      `"u" [dD] [0-7] ${hex}{2}`,
      `"u" [dD] [89abAB] ${hex}{2} "\\\\u" [dD] [c-fC-F] ${hex}{2}`,
    ].join(" | "),
  );
  // DEL and what is above the last code point are no text either; the ranges leave surrogates out.
  const plain = "[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e\\u0080-\\ud7ff\\ue000-\\U0010ffff]";
  return builder.rule("char", `${plain} | "\\\\" ${escaped}`);
}

/** A string of at least `min` and at most `max` characters, as a rule's name. */
export function stringRule(builder: GrammarBuilder, min = 0, max?: number): string {
  return builder.rule("string", `"\\"" ${builder.repeat("char", charRule(builder), min, max)} "\\""`);
}

/** Integers of up to 15 digits, which every reader of JSON takes exactly. */
export function integerRule(builder: GrammarBuilder): string {
  return builder.rule("integer", '"0" | "-"? [1-9] [0-9]{0,14}');
}

export function numberRule(builder: GrammarBuilder): string {
  return builder.rule("number", '"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?');
}

export function booleanRule(builder: GrammarBuilder): string {
  return builder.rule("boolean", '"true" | "false"');
}

export function nullRule(builder: GrammarBuilder): string {
  return builder.rule("null", '"null"');
}

/** A JSON value of any shape. */
export function valueRule(builder: GrammarBuilder): string {
  return anyRules(builder).value;
}

/** An object of any members. */
export function objectRule(builder: GrammarBuilder): string {
  return anyRules(builder).object;
}

/** An array of any items. */
export function arrayRule(builder: GrammarBuilder): string {
  return anyRules(builder).array;
}

interface AnyRules {
  readonly value: string;
  readonly object: string;
  readonly array: string;
}

/** They refer to each other, so that they are made together, once a grammar. */
const anyRulesOf = new WeakMap<GrammarBuilder, AnyRules>();

function anyRules(builder: GrammarBuilder): AnyRules {
  const known = anyRulesOf.get(builder);
  if (known !== undefined) return known;
  const value = builder.reserve("value");
  const ws = spaceRule(builder);
  const string = stringRule(builder);
  const member = builder.rule("member", memberBody(builder, string, value));
  const rules = {
    value,
    object: builder.rule("object", listBody("{", "}", ws, `${member} ("," ${ws} ${member})*`)),
    array: builder.rule("array", listBody("[", "]", ws, `${value} ("," ${ws} ${value})*`)),
  };
  const scalars = [string, numberRule(builder), booleanRule(builder), nullRule(builder)];
  builder.define(value, [rules.object, rules.array, ...scalars].join(" | "));
  anyRulesOf.set(builder, rules);
  return rules;
}

/** `key` and `value` are bodies. */
export function memberBody(builder: GrammarBuilder, key: string, value: string): string {
  return `${key} ":" ${gapRule(builder)} ${value}`;
}

/** Brackets around what may be left out; a list that is empty has no space inside. */
export function listBody(open: string, close: string, ws: string, inside: string, mayBeEmpty = true): string {
  const body = `${ws} ${inside} ${ws}`;
  return `${literal(open)} ${mayBeEmpty ? `(${body})?` : body} ${literal(close)}`;
}
