// The grammar of tool calls in a model's own form: whatever it generates is a call of a tool on offer, with valid arguments.
import { Work } from "../constraint/automaton.ts";
import { requireFewReadings } from "../constraint/gbnf-ambiguity.ts";
import { checkGbnf } from "../constraint/gbnf-check.ts";
import { parseGbnf } from "../constraint/gbnf-parser.ts";
import { countMax, GrammarBuilder, literal } from "../constraint/grammar-builder.ts";
import { valueRule as anyValueRule, gapRule, objectRule, spaceRule } from "../constraint/json-grammar.ts";
import { schemaRule } from "../constraint/json-schema.ts";
import { NodeError } from "../node-error.ts";
import type { CallSyntax, ParameterSyntax } from "./format.ts";

/** A tool as the grammar sees it. */
export interface GrammarTool {
  readonly name: string;
  /** JSON Schema of the arguments as JSON text; empty for none. */
  readonly parametersJson: string;
  /** The arguments must hold to the schema, or the request be refused; else to as much of it as a grammar can. */
  readonly strict: boolean;
  /** The contract's field that the schema stands in. */
  readonly path: string;
}

export interface ToolGrammarOptions {
  readonly tools: readonly GrammarTool[];
  readonly syntax: CallSyntax;
  /** Most calls. */
  readonly callsMax: number;
  /** What has been generated of the calls' beginning before the grammar takes over. */
  readonly begun: string;
}

const path = "prompt.chat.tools";

/** Steps that all tools of a request may take together to compile: a few tenths of a second. */
const workMax = 500_000;

/** The body of a rule that allows one call or more. Throws INVALID_ARGUMENT for a strict schema that no grammar can hold. */
function toolCallsBody(builder: GrammarBuilder, options: ToolGrammarOptions): string {
  const { tools, syntax, callsMax, begun } = options;
  const work = new Work(path, { left: workMax });
  const rules = tools.map((tool) => ({ tool, args: argumentsRule({ builder, tool, work }, syntax.parameters) }));
  const call = (prefix: string, cut: number): string =>
    builder.rule(
      "call",
      rules
        .map(({ tool, args }) => {
          const { before, after } = syntax.call(tool.name);
          const rest = after === "" ? "" : ` ${literal(after)}`;
          return `${literal((prefix + before).slice(cut))} ${args}${rest}`;
        })
        .join(" | "),
    );
  const first = call(syntax.begin, begun.length);
  const more = callsMax > 1 ? ` (${call(syntax.between, 0)}){0,${callsMax - 1}}` : "";
  return `${first}${more}${syntax.end === "" ? "" : ` ${literal(syntax.end)}`}`;
}

/** A whole grammar of one call or more. */
export function toolCallsGrammar(options: ToolGrammarOptions): string {
  const builder = new GrammarBuilder(path);
  return checkedGrammar(builder, toolCallsBody(builder, options));
}

/** Calls, or words: for forms without markup, where what begins as a call could not be told from one otherwise. */
export function callsOrWordsGrammar(options: ToolGrammarOptions): string {
  const builder = new GrammarBuilder(path);
  const any = "[\\x01-\\ud7ff\\ue000-\\U0010ffff]";
  return checkedGrammar(builder, `${toolCallsBody(builder, options)} | [^\\x00-\\x20{<\`\\[] ${any}*`);
}

function checkedGrammar(builder: GrammarBuilder, root: string): string {
  const grammar = builder.grammar(root);
  // A schema may have no finite document, or ever more readings of one: either would keep the engine going without end.
  const written = parseGbnf(grammar, path);
  checkGbnf(written, path);
  requireFewReadings(written, path, [spaceRule(builder), gapRule(builder)]);
  return grammar;
}

interface ToolContext {
  readonly builder: GrammarBuilder;
  readonly tool: GrammarTool;
  readonly work: Work;
}

function argumentsRule(context: ToolContext, parameters: ParameterSyntax | undefined): string {
  const { builder, tool } = context;
  const schema = tool.parametersJson === "" ? { type: "object", properties: {} } : JSON.parse(tool.parametersJson);
  if (parameters !== undefined) return parametersRule(context, asRecord(schema), parameters);
  return valueRule(context, objectSchema(schema), tool.path) ?? objectRule(builder);
}

/** A rule for the schema; undefined when it can't be made and need not be. */
function valueRule({ builder, tool, work }: ToolContext, schema: unknown, path: string): string | undefined {
  if (tool.strict) return schemaRule(builder, schema, path, work.at(path));
  try {
    // What a failed compilation left behind must not be in the grammar.
    schemaRule(new GrammarBuilder(path), schema, path, work.at(path));
    return schemaRule(builder, schema, path, work.at(path));
  } catch (thrown) {
    if (thrown instanceof NodeError) return undefined;
    throw thrown;
  }
}

/** Each parameter in the schema's order; those that are not required may be left out. */
function parametersRule(context: ToolContext, schema: Record<string, unknown>, syntax: ParameterSyntax): string {
  const { builder } = context;
  const properties = Object.entries(asRecord(schema.properties));
  const required = Array.isArray(schema.required) ? schema.required : [];
  const bodies = properties.map(([name, property]) => {
    const text = textRule(builder, property, syntax);
    const value = text ?? propertyRule(context, schema, name);
    const body = `${literal(syntax.before(name, text !== undefined))} ${value} ${literal(syntax.after)}`;
    return required.includes(name) ? body : `(${body})?`;
  });
  return builder.rule("parameters", bodies.join(" ") || '""');
}

function propertyRule(
  context: ToolContext,
  { $defs, definitions, properties }: Record<string, unknown>,
  name: string,
): string {
  const property = asRecord(properties)[name];
  // References within the schema still find what they refer to.
  const schema = {
    ...asRecord(property),
    ...($defs === undefined ? {} : { $defs }),
    ...(definitions === undefined ? {} : { definitions }),
  };
  const at = `${context.tool.path}.properties.${name}`;
  return valueRule(context, closed(schema), at) ?? anyValueRule(context.builder);
}

/** Plain text, or one of the texts that are listed; undefined for what is not a string. */
function textRule(builder: GrammarBuilder, property: unknown, { reserved }: ParameterSyntax): string | undefined {
  const { type, enum: listed, minLength, maxLength } = asRecord(property);
  if (type !== "string") return undefined;
  if (Array.isArray(listed) && listed.length > 0 && listed.every((item) => typeof item === "string")) {
    return builder.rule("listed", listed.map((item) => literal(item)).join(" | "));
  }
  if (isCount(minLength) || isCount(maxLength)) {
    const char = builder.rule("char", "[^<]");
    const [min, max] = [isCount(minLength) ? minLength : 0, isCount(maxLength) ? maxLength : undefined];
    return builder.rule("text", builder.repeat("char", char, min, max));
  }
  // Anything but the beginnings of closing tags.
  const thirds = reserved.map((text) => text[2] ?? "").join("");
  const longer = reserved.flatMap(([, , third = "", fourth]) =>
    fourth === undefined ? [] : [`${literal(third)} [^<${fourth}]`],
  );
  const tail = [`[^<${thirds}]`, ...longer].join(" | ");
  return builder.rule("text", `([^<] | "<"+ ([^/<] | "/" (${tail})))*`);
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= countMax;
}

/** The schema as one of an object and nothing else, closed where it does not say otherwise: a call has the parameters that were named. */
function objectSchema(schema: unknown): unknown {
  return closed({ ...asRecord(schema), type: "object" });
}

/** Objects of named properties take no others, as in strict mode: a small model would go on naming them. */
function closed(schema: unknown, depth = 0): unknown {
  if (typeof schema !== "object" || schema === null || depth > 64) return schema;
  if (Array.isArray(schema)) return schema.map((item) => closed(item, depth + 1));
  const record = asRecord(schema);
  const each = (value: unknown): unknown =>
    Object.fromEntries(Object.entries(asRecord(value)).map(([name, one]) => [name, closed(one, depth + 1)]));
  const out: Record<string, unknown> = { ...record };
  for (const key of ["properties", "$defs", "definitions"]) if (key in record) out[key] = each(record[key]);
  for (const key of ["items", "anyOf", "oneOf", "prefixItems"])
    if (key in record) out[key] = closed(record[key], depth + 1);
  const isCombined = ["allOf", "$ref", "anyOf", "oneOf"].some((key) => record[key] !== undefined);
  const closes = record.type === "object" && !isCombined && record.additionalProperties === undefined;
  if (closes && record.patternProperties === undefined) out.additionalProperties = false;
  return out;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
