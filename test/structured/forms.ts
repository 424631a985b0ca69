// Forms that an output may be held to, each with a judge of what came of it that is not ours.
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

export interface Form {
  readonly name: string;
  /** The parameters of the request. */
  readonly body: Record<string, unknown>;
  readonly prompt: string;
  /** What is wrong with a text that claims to be whole; undefined when it is right. */
  readonly fault: (text: string) => string | undefined;
}

const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);

const word = { type: "string", pattern: "^[a-z]{1,8}$" };
const small = { type: "integer", minimum: 0, maximum: 99 };
const closed = (properties: object, required = Object.keys(properties)) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

/** Documents of a few dozen tokens, so that most of them come to their end. */
const schemas: Readonly<Record<string, object>> = {
  person: closed({ name: { type: "string", minLength: 1, maxLength: 12 }, age: { ...small, maximum: 120 } }),
  colours: { type: "array", items: { enum: ["red", "green", "blue", "grey"] }, minItems: 1, maxItems: 3 },
  optional: closed({ a: small, b: word, c: { type: "boolean" } }, []),
  point: { type: "array", prefixItems: [small, small], items: false, minItems: 2 },
  either: { anyOf: [closed({ ok: { const: true }, value: small }), closed({ ok: { const: false }, error: word })] },
  nullable: closed({ note: { type: ["string", "null"], maxLength: 10 } }),
  bounds: closed({
    t: { type: "number", minimum: -1.5, maximum: 1.5 },
    n: { type: "integer", multipleOf: 7, maximum: 70 },
  }),
  dates: closed({ on: { type: "string", format: "date" } }),
  times: closed({ at: { type: "string", format: "time", maxLength: 9 } }),
  address: closed({ ip: { type: "string", format: "ipv4" } }),
  nested: closed({ at: closed({ x: small, y: small }), tags: { type: "array", items: word, maxItems: 2 } }),
  list: {
    $defs: { node: closed({ v: small, next: { anyOf: [{ type: "null" }, { $ref: "#/$defs/node" }] } }) },
    $ref: "#/$defs/node",
  },
  merged: { allOf: [closed({ a: word, b: small }), { properties: { a: { minLength: 2 }, b: { minimum: 10 } } }] },
  map: { type: "object", additionalProperties: { type: "boolean" }, maxProperties: 2 },
  escapes: closed({ 'q"\\': { type: "string", pattern: '^["\\\\\\n]{1,3}$' } }),
  unicode: { type: "string", pattern: "^[\\u00e0-\\u00ff\\u4e00-\\u4eff]{1,4}$" },
  scalar: { type: "integer", exclusiveMinimum: -10, exclusiveMaximum: 10 },
};

const expressions: Readonly<Record<string, RegExp>> = {
  phone: /^\d{3}-\d{4}$/u,
  answer: /^(?:yes|no|maybe)$/u,
  code: /^[A-Z]{2}(?:\d{2}){1,3}[^\w\s]$/u,
};

function schemaForm([name, schema]: [string, object], index: number): Form {
  const validate = ajv.compile(schema);
  // Each way to say it has its turn.
  const body =
    index % 3 === 0
      ? { guided_json: schema }
      : { response_format: { type: "json_schema", json_schema: { name, schema, strict: true } } };
  return {
    name,
    body,
    prompt: `Answer with JSON: a ${name}.`,
    fault: (text) => {
      const document = parsed(text);
      if (document === undefined) return "is no JSON";
      return validate(document.value) ? undefined : ajv.errorsText(validate.errors);
    },
  };
}

export const forms: readonly Form[] = [
  ...Object.entries(schemas).map(schemaForm),
  ...Object.entries(expressions).map(([name, expression]) => ({
    name,
    body: { guided_regex: expression.source },
    prompt: `Answer with a ${name}.`,
    fault: (text: string) => (expression.test(text) ? undefined : `does not match ${expression.source}`),
  })),
  {
    name: "choice",
    body: { guided_choice: ["left", "right (the other one)", "left or right"] },
    prompt: "Left or right?",
    fault: (text) => (["left", "right (the other one)", "left or right"].includes(text) ? undefined : "is no choice"),
  },
  {
    name: "grammar",
    body: { grammar: 'root ::= move (" " move){0,2}\nmove ::= [a-h] [1-8] ("x" [a-h] [1-8])?' },
    prompt: "Name some squares of a chess board.",
    fault: (text) =>
      /^[a-h][1-8](?:x[a-h][1-8])?(?: [a-h][1-8](?:x[a-h][1-8])?){0,2}$/.test(text) ? undefined : "is no moves",
  },
  {
    name: "object",
    body: { response_format: { type: "json_object" } },
    prompt: 'Answer with this: {"a": 1}',
    fault: (text) => {
      const value = parsed(text)?.value;
      return typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "is no JSON object";
    },
  },
];

function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
