// Calls that are the whole answer, as bare JSON: Llama 3, and the form that models without one of their own are taught.
import { type ReadingContext, readTextAndCalls, type ToolFormat } from "./format.ts";
import { type CallEnd, readJsonCalls } from "./json-calls.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

const pythonTag = "<|python_tag|>";
const fences = ["```json", "```"];

/** Meta's Llama 3.1 to 3.3: {"name": …, "parameters": {…}}. */
export const llama3: ToolFormat = {
  name: "llama3",
  matches: (template) => template.includes("<|start_header_id|>") && template.includes('"parameters": '),
  markers: [pythonTag],
  read: readBareJson,
  callsInMessageMax: 1,
  syntax: bareSyntax("parameters"),
};

/** Taught by a system text (generic-prompt.ts) to models whose templates know no tools. */
export const generic: ToolFormat = {
  name: "generic",
  matches: () => true,
  markers: [],
  read: readBareJson,
  syntax: bareSyntax("arguments"),
};

function bareSyntax(key: string): ToolFormat["syntax"] {
  return {
    trigger: undefined,
    begin: "",
    between: "\n",
    end: "",
    call: (name) => ({ before: `{"name": ${JSON.stringify(name)}, "${key}": `, after: "}" }),
  };
}

/** Without markers, only JSON at the answer's very beginning that names a tool on offer is a call. */
function* readBareJson(reader: TextReader, out: Output, { controls }: ReadingContext): Read<void> {
  reader.mark();
  if ((yield* readOpening(reader, out, controls)) === "broken") reader.rewind();
  reader.release();
  yield* readTextAndCalls(reader, out, controls.includes(pythonTag) ? [pythonTag] : [], controls, () =>
    readOpening(reader, out, controls),
  );
}

function* readOpening(reader: TextReader, out: Output, controls: readonly string[]): Read<CallEnd> {
  yield* reader.skipSpace();
  if (controls.includes(pythonTag)) yield* reader.skip(pythonTag);
  yield* reader.skipSpace();
  const fenced = yield* skipFence(reader);
  const end = yield* readSequence(reader, out, controls);
  if (end === "done" && fenced) {
    yield* reader.skipSpace();
    yield* reader.skip("```");
  }
  return end;
}

function* skipFence(reader: TextReader): Read<boolean> {
  for (const fence of fences) {
    if (!(yield* reader.skip(fence))) continue;
    yield* reader.skipSpace();
    return true;
  }
  return false;
}

/** Calls with commas, semicolons or white space between them. What follows the last one is the caller's to read. */
function* readSequence(reader: TextReader, out: Output, controls: readonly string[]): Read<CallEnd> {
  let end = yield* readJsonCalls(reader, out, controls);
  while (end === "done") {
    reader.mark();
    yield* reader.skipSpace();
    if (!(yield* reader.skip(";"))) yield* reader.skip(",");
    yield* reader.skipSpace();
    const next = (yield* reader.peek()) === "{" ? yield* readJsonCalls(reader, out, controls) : "broken";
    if (next === "broken") {
      reader.rewind();
      return "done";
    }
    end = next;
  }
  return end;
}
