// DeepSeek V3, R1 and V3.1: calls between control tokens, the arguments as JSON, in a code block before V3.1.
import { type ReadingContext, readTextAndCalls, type ToolFormat } from "./format.ts";
import type { CallEnd } from "./json-calls.ts";
import { readValue } from "./json-reader.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

const calls = { begin: "<｜tool▁calls▁begin｜>", end: "<｜tool▁calls▁end｜>" };
const call = { begin: "<｜tool▁call▁begin｜>", end: "<｜tool▁call▁end｜>" };
const separator = "<｜tool▁sep｜>";
const headCharsMax = 512;

const base = {
  markers: [calls.begin, calls.end, call.begin, call.end, separator],
  *read(reader: TextReader, out: Output, { controls }: ReadingContext): Read<void> {
    // The outer marker says nothing that the inner one does not.
    const strays = [...new Set([...controls, calls.begin, calls.end, call.end, separator])];
    yield* readTextAndCalls(reader, out, [call.begin], strays, () => readCall(reader, out, strays));
  },
};

export const deepseekV3: ToolFormat = {
  name: "deepseek-v3",
  matches: (template) => template.includes(call.begin) && template.includes("```json"),
  ...base,
  describe: describeWith(
    `${calls.begin}${call.begin}function${separator}tool_call_name\n\`\`\`json\ntool_call_arguments\n\`\`\`${call.end}` +
      `{additional_tool_calls}${calls.end}`,
  ),
  syntax: {
    trigger: calls.begin,
    begin: calls.begin,
    between: "\n",
    end: calls.end,
    call: (name) => ({
      before: `${call.begin}function${separator}${name}\n\`\`\`json\n`,
      after: `\n\`\`\`${call.end}`,
    }),
  },
};

/** The text that DeepSeek's model cards put into the system message; the templates of V3 and V3.1 leave it to the caller. */
function describeWith(example: string): NonNullable<ToolFormat["describe"]> {
  return (tools, safe) => {
    const list = tools.map(
      ({ name, description, parametersJson }) =>
        `### ${safe(name)}\nDescription: ${safe(description)}\n\nParameters: ${safe(parametersJson)}\n\n`,
    );
    return (
      `## Tools\nYou have access to the following tools:\n\n${list.join("")}IMPORTANT: ALWAYS adhere to this exact format ` +
      `for tool use:\n${example}\n\nWhere:\n- \`tool_call_name\` must be an exact match to one of the available tools\n` +
      "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters JSON Schema\n" +
      "- For multiple tool calls, chain them directly without separators or spaces"
    );
  };
}

export const deepseekV31: ToolFormat = {
  name: "deepseek-v3.1",
  matches: (template) => template.includes(call.begin) && !template.includes("```json"),
  ...base,
  describe: describeWith(
    `${calls.begin}${call.begin}tool_call_name${separator}tool_call_arguments${call.end}{additional_tool_calls}${calls.end}`,
  ),
  syntax: {
    trigger: calls.begin,
    begin: calls.begin,
    between: "",
    end: calls.end,
    call: (name) => ({ before: `${call.begin}${name}${separator}`, after: call.end }),
  },
};

/** Either version's call: what stands before the separator is the name, or the word `function` and the name follows. */
function* readCall(reader: TextReader, out: Output, markers: readonly string[]): Read<CallEnd> {
  const head = yield* readHead(reader, [separator]);
  if (head === undefined) return "broken";
  let name = head;
  if ((yield* reader.peek()) !== "{") {
    const rest = yield* readHead(reader, ["{"]);
    const named = rest === undefined ? null : /^\s*([^\s`]*)\s*(?:```(?:json)?)?\s*$/.exec(rest);
    if (named === null) return "broken";
    name = named[1] || head;
  }
  if (!out.offers(name)) return "broken";
  reader.release();
  out.call(name);
  const whole = yield* readValue(reader, markers, (text) => out.arguments(text));
  out.endCall();
  yield* reader.skipSpace();
  if (yield* reader.skip("```")) yield* reader.skipSpace();
  yield* reader.skip(call.end);
  return whole ? "done" : "cut";
}

/** Text up to a marker, which is taken unless it is the arguments' brace; undefined when it is too long for a name. */
function* readHead(reader: TextReader, markers: readonly string[]): Read<string | undefined> {
  let head = "";
  for (;;) {
    const next = yield* reader.next(markers);
    if (next === undefined || head.length > headCharsMax) return undefined;
    if ("marker" in next) {
      if (next.marker !== "{") reader.advance(next.marker.length);
      return head.trim();
    }
    head += next.text;
    reader.advance(next.text.length);
  }
}
