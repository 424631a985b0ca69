// Hermes and Qwen: <tool_call>{"name": …, "arguments": {…}}</tool_call>, one block a call.
import { readTextAndCalls, type ToolFormat } from "./format.ts";
import { readJsonCalls } from "./json-calls.ts";

const open = "<tool_call>";
const close = "</tool_call>";

export const hermes: ToolFormat = {
  name: "hermes",
  matches: (template) => template.includes(open) && !template.includes("<function=") && !template.includes("<arg_key>"),
  markers: [open, close],
  *read(reader, out, { controls }) {
    yield* readTextAndCalls(reader, out, [open], controls, function* () {
      yield* reader.skipSpace();
      const end = yield* readJsonCalls(reader, out, controls);
      if (end === "broken") return end;
      yield* reader.skipSpace();
      yield* reader.skip(close);
      return end;
    });
  },
  syntax: {
    trigger: open,
    begin: "",
    between: "\n",
    end: "",
    call: (name) => ({
      before: `${open}\n{"name": ${JSON.stringify(name)}, "arguments": `,
      after: `}\n${close}`,
    }),
  },
};
