// Mistral: [TOOL_CALLS] before a JSON array of calls, or before each call as name[ARGS]{…}.
import { type ReadingContext, readTextAndCalls, type ToolFormat } from "./format.ts";
import { type CallEnd, readJsonCalls } from "./json-calls.ts";
import { readValue } from "./json-reader.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

const open = "[TOOL_CALLS]";
const args = "[ARGS]";
const callId = "[CALL_ID]";
const nameCharsMax = 256;

const base = {
  markers: [open, args, callId],
  *read(reader: TextReader, out: Output, { controls }: ReadingContext): Read<void> {
    yield* readTextAndCalls(reader, out, [open], controls, () => readCalls(reader, out, controls));
  },
  // The templates refuse every other id.
  callId: { pattern: /^[0-9A-Za-z]{9}$/, make: (random: (length: number) => string) => random(9) },
};

/** Tokenizers up to version 3, such as Nemo's. */
export const mistralArray: ToolFormat = {
  name: "mistral",
  matches: (template) => template.includes(open) && !template.includes(args),
  ...base,
  syntax: {
    trigger: open,
    begin: `${open}[`,
    between: ", ",
    end: "]",
    call: (name) => ({ before: `{"name": ${JSON.stringify(name)}, "arguments": `, after: "}" }),
  },
};

/** Tokenizers from version 11 on. */
export const mistralNamed: ToolFormat = {
  name: "mistral-named",
  matches: (template) => template.includes(open) && template.includes(args),
  ...base,
  syntax: {
    trigger: open,
    begin: "",
    between: "",
    end: "",
    call: (name) => ({ before: `${open}${name}${args}`, after: "" }),
  },
};

function* readCalls(reader: TextReader, out: Output, controls: readonly string[]): Read<CallEnd> {
  yield* reader.skipSpace();
  const char = yield* reader.peek();
  if (char === "[" || char === "{") return yield* readJsonCalls(reader, out, controls);
  const name = yield* readName(reader);
  if (name === undefined || !out.offers(name)) return "broken";
  yield* reader.skipSpace();
  if ((yield* reader.peek()) !== "{") return "broken";
  reader.release();
  out.call(name);
  const whole = yield* readValue(reader, controls, (text) => out.arguments(text));
  out.endCall();
  return whole ? "done" : "cut";
}

/** The name before [ARGS], with [CALL_ID] and an id between them or not, or before the arguments' brace. */
function* readName(reader: TextReader): Read<string | undefined> {
  let name = "";
  for (;;) {
    const next = yield* reader.next([args, callId, "{"]);
    if (next === undefined || name.length > nameCharsMax) return undefined;
    if ("text" in next) {
      name += next.text;
      reader.advance(next.text.length);
      continue;
    }
    if (next.marker === "{") return name.trim();
    reader.advance(next.marker.length);
    if (next.marker === args) return name.trim();
    let id = "";
    const end = yield* reader.until([args, "{"], (text) => {
      id += text;
    });
    return end === args && id.length <= nameCharsMax ? name.trim() : undefined;
  }
}
