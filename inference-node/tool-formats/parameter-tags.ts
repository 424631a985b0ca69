// Calls whose arguments are written a tag each: DeepSeek's DSML (V3.2, V4) and Qwen's XML (Qwen3-Coder, Qwen3.5).
import { type ReadingContext, readTextAndCalls, type ToolFormat } from "./format.ts";
import type { CallEnd } from "./json-calls.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

/** How one family spells a block of parameters. */
interface TagDialect {
  /** What begins a call, up to the tool's name; and the text that ends the name. */
  readonly call: { readonly open: string; readonly openEnd: string; readonly close: string };
  readonly parameter: { readonly open: string; readonly openEnd: string; readonly close: string };
  /** Whether one line break inside each end of a value belongs to the tags. */
  readonly linedValues: boolean;
  /** A parameter's name and whether its value is a string; undefined leaves that to the schema. */
  readonly head: (text: string) => { name: string; isString: boolean | undefined } | undefined;
}

const dsml = "｜DSML｜";
const headCharsMax = 512;

const dsmlTags: TagDialect = {
  call: { open: `<${dsml}invoke name="`, openEnd: '">', close: `</${dsml}invoke>` },
  parameter: { open: `<${dsml}parameter name="`, openEnd: '">', close: `</${dsml}parameter>` },
  linedValues: false,
  head: (text) => {
    const parts = /^(.*)" string="(true|false)$/s.exec(text);
    return parts === null ? undefined : { name: parts[1] as string, isString: parts[2] === "true" };
  },
};

const xmlTags: TagDialect = {
  call: { open: "<function=", openEnd: ">", close: "</function>" },
  parameter: { open: "<parameter=", openEnd: ">", close: "</parameter>" },
  linedValues: true,
  head: (name) => ({ name: name.trim(), isString: undefined }),
};

/** V3.2 calls the block of calls one way, V4 the other. */
const dsmlBlocks = ["function_calls", "tool_calls"].map((name) => ({
  open: `<${dsml}${name}>`,
  close: `</${dsml}${name}>`,
}));

const base = {
  markers: [dsml, ...dsmlBlocks.flatMap(({ open, close }) => [open, close])],
  *read(reader: TextReader, out: Output, context: ReadingContext): Read<void> {
    const { controls } = context;
    const openers = dsmlBlocks.map(({ open }) => open);
    yield* readTextAndCalls(reader, out, openers, controls, function* (opener) {
      const close = opener.replace("<", "</");
      return yield* readBlock(reader, out, dsmlTags, close, context);
    });
  },
};

/** DeepSeek V3.2. */
export const deepseekV32: ToolFormat = {
  name: "deepseek-v3.2",
  matches: (template) => template.includes(dsml) && template.includes("function_calls>"),
  ...base,
  syntax: dsmlSyntax("function_calls"),
};

/** DeepSeek V4. */
export const deepseekV4: ToolFormat = {
  name: "deepseek-v4",
  matches: (template) => template.includes(dsml) && template.includes("tool_calls>"),
  ...base,
  syntax: dsmlSyntax("tool_calls"),
};

function dsmlSyntax(block: string): ToolFormat["syntax"] {
  return {
    trigger: `<${dsml}${block}>`,
    begin: `<${dsml}${block}>\n`,
    between: "\n",
    end: `\n</${dsml}${block}>`,
    call: (name) => ({ before: `${dsmlTags.call.open}${name}">\n`, after: dsmlTags.call.close }),
    parameters: {
      before: (name, isString) => `${dsmlTags.parameter.open}${name}" string="${isString}">`,
      after: `${dsmlTags.parameter.close}\n`,
      reserved: ["</｜"],
    },
  };
}

/** Qwen3-Coder, Qwen3.5 and others that took their form over. */
export const qwenXml: ToolFormat = {
  name: "qwen-xml",
  matches: (template) => template.includes("<function=") && template.includes("<parameter="),
  markers: ["<tool_call>", "</tool_call>"],
  *read(reader, out, context) {
    // Some models leave the outer tag out.
    yield* readTextAndCalls(reader, out, ["<tool_call>", xmlTags.call.open], context.controls, function* (opener) {
      if (opener === xmlTags.call.open) return yield* readCall(reader, out, xmlTags, context);
      return yield* readBlock(reader, out, xmlTags, "</tool_call>", context);
    });
  },
  syntax: {
    trigger: "<tool_call>",
    begin: "",
    between: "\n",
    end: "",
    call: (name) => ({
      before: `<tool_call>\n${xmlTags.call.open}${name}>\n`,
      after: `${xmlTags.call.close}\n</tool_call>`,
    }),
    parameters: {
      before: (name) => `${xmlTags.parameter.open}${name}>\n`,
      after: `\n${xmlTags.parameter.close}\n`,
      reserved: ["</pa", "</f"],
    },
  },
};

/** Calls up to the block's end. */
function* readBlock(
  reader: TextReader,
  out: Output,
  tags: TagDialect,
  close: string,
  context: ReadingContext,
): Read<CallEnd> {
  for (let calls = 0; ; calls++) {
    if (calls > 0) reader.mark();
    yield* reader.skipSpace();
    if (calls > 0 && (yield* reader.skip(close))) return "done";
    if (!(yield* reader.skip(tags.call.open))) return "broken";
    const end = yield* readCall(reader, out, tags, context);
    if (end !== "done") return end;
  }
}

/** One call, after what opens it. */
function* readCall(reader: TextReader, out: Output, tags: TagDialect, context: ReadingContext): Read<CallEnd> {
  const name = yield* readHead(reader, tags.call.openEnd);
  if (name === undefined || !out.offers(name.trim())) return "broken";
  const tool = name.trim();
  reader.release();
  out.call(tool);
  out.arguments("{");
  let end: CallEnd | undefined;
  for (let count = 0; end === undefined; count++) end = yield* readParameter(reader, out, tags, context, tool, count);
  out.arguments("}");
  out.endCall();
  return end;
}

/** One parameter; undefined while the call goes on after it. */
function* readParameter(
  reader: TextReader,
  out: Output,
  tags: TagDialect,
  { parameterSchema, controls }: ReadingContext,
  tool: string,
  count: number,
): Read<CallEnd | undefined> {
  yield* reader.skipSpace();
  if (yield* reader.skip(tags.call.close)) return "done";
  if (!(yield* reader.skip(tags.parameter.open))) return "cut";
  const text = yield* readHead(reader, tags.parameter.openEnd);
  const head = text === undefined ? undefined : tags.head(text);
  if (head === undefined) return "cut";
  out.arguments(`${count > 0 ? ", " : ""}${JSON.stringify(head.name)}: `);
  const value = new ParameterValue(
    out,
    head.isString ?? stringness(parameterSchema(tool, head.name)),
    tags.linedValues,
  );
  let closed: string | undefined;
  do closed = yield* reader.until([tags.parameter.close, tags.call.close, ...controls], (piece) => value.add(piece));
  while (closed !== undefined && controls.includes(closed));
  value.end();
  if (closed === undefined) return "cut";
  return closed === tags.call.close ? "done" : undefined;
}

function* readHead(reader: TextReader, end: string): Read<string | undefined> {
  let head = "";
  for (;;) {
    const next = yield* reader.next([end]);
    if (next === undefined || head.length > headCharsMax) return undefined;
    if ("marker" in next) {
      reader.advance(end.length);
      return head;
    }
    head += next.text;
    reader.advance(next.text.length);
  }
}

/** A value as JSON: a string as it comes, anything else once it is whole and known to be JSON. */
class ParameterValue {
  readonly #out: Output;
  readonly #isString: boolean | undefined;
  readonly #lined: boolean;
  #begun = false;
  #held = "";

  constructor(out: Output, isString: boolean | undefined, lined: boolean) {
    this.#out = out;
    this.#isString = isString;
    this.#lined = lined;
  }

  add(text: string): void {
    this.#held += text;
    if (this.#isString !== true || this.#held === "") return;
    if (!this.#begun) this.#begin();
    // The last line break may be the tag's.
    const keep = this.#lined && this.#held.endsWith("\n") ? 1 : 0;
    this.#write(this.#held.slice(0, this.#held.length - keep));
    this.#held = this.#held.slice(this.#held.length - keep);
  }

  end(): void {
    if (this.#isString === true) {
      if (!this.#begun) this.#begin();
      if (!this.#lined) this.#write(this.#held);
      this.#out.arguments('"');
      return;
    }
    const text = this.#lined ? this.#held.replace(/^\n/, "").replace(/\n$/, "") : this.#held;
    this.#out.arguments(this.#isString === undefined ? guessed(text) : (json(text) ?? JSON.stringify(text)));
  }

  #begin(): void {
    this.#begun = true;
    if (this.#lined && this.#held.startsWith("\n")) this.#held = this.#held.slice(1);
    this.#out.arguments('"');
  }

  #write(text: string): void {
    this.#out.arguments(JSON.stringify(text).slice(1, -1));
  }
}

/** Whether a schema takes strings: undefined when it takes other types too, or says nothing. */
function stringness(schema: unknown): boolean | undefined {
  if (typeof schema !== "object" || schema === null || !("type" in schema)) return undefined;
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  if (!types.includes("string")) return false;
  return types.length === 1 ? true : undefined;
}

function json(text: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Without a type, objects, arrays, numbers, booleans and null are taken for what they look like. */
function guessed(text: string): string {
  return text.trim().startsWith('"') ? JSON.stringify(text) : (json(text) ?? JSON.stringify(text));
}
