// OpenAI's harmony (gpt-oss): messages on channels; analysis is reasoning, commentary to a function is a call.
import { readText, type ToolFormat } from "./format.ts";
import { readValue } from "./json-reader.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

const start = "<|start|>";
const channel = "<|channel|>";
const message = "<|message|>";
const ends = ["<|end|>", "<|return|>", "<|call|>"];
const constrain = "<|constrain|>";
const headerCharsMax = 512;

export const harmonyReasoning = {
  open: `${channel}analysis${message}`,
  close: `<|end|>${start}assistant`,
};

export const harmony: ToolFormat = {
  name: "harmony",
  matches: (template) => template.includes(`${channel}analysis${message}`),
  markers: [start, channel, message, constrain, ...ends],
  *read(reader, out, { controls }) {
    const markup = [...new Set([...controls, start, channel, message, constrain, ...ends])];
    for (;;) {
      // A message's head; text without one is an answer as it is.
      const first = yield* reader.next(markup);
      if (first === undefined) return;
      const header = "marker" in first || (yield* goesOnWithHeader(reader)) ? yield* readHeader(reader) : "";
      if (header === undefined) {
        yield* readText(reader, out, markup);
        return;
      }
      yield* readBody(reader, out, header, markup);
    }
  },
  readsReasoning: true,
  callsInMessageMax: 1,
  syntax: {
    trigger: "to=functions.",
    begin: "",
    between: "",
    end: "",
    answerLead: `${channel}final${message}`,
    call: (name) => ({ before: `${channel}commentary to=functions.${name} ${constrain}json${message}`, after: "" }),
  },
};

/** Whether text goes on with a header that the prompt began. */
function* goesOnWithHeader(reader: TextReader): Read<boolean> {
  reader.mark();
  yield* reader.skipSpace();
  const goesOn = (yield* reader.skip("to=")) || (yield* reader.skip("assistant"));
  reader.rewind();
  return goesOn;
}

/** A header up to <|message|>; undefined when there is none. */
function* readHeader(reader: TextReader): Read<string | undefined> {
  reader.mark();
  let header = "";
  const markers = [message, ...ends];
  for (;;) {
    const next = yield* reader.next(markers);
    if (next === undefined || header.length > headerCharsMax) {
      reader.rewind();
      return undefined;
    }
    if ("text" in next) {
      header += next.text;
      reader.advance(next.text.length);
      continue;
    }
    reader.advance(next.marker.length);
    if (next.marker !== message) {
      header = "";
      continue;
    }
    reader.release();
    return header;
  }
}

/** A message's body, up to what ends it. */
function* readBody(reader: TextReader, out: Output, header: string, markup: readonly string[]): Read<void> {
  const tool = /to=(?:functions\.)?([^\s<]+)/.exec(header)?.[1];
  const isAnalysis = /<\|channel\|>\s*analysis/.test(header);
  if (tool !== undefined && out.offers(tool)) {
    yield* readCall(reader, out, tool, markup);
    yield* passBody(reader, markup, () => undefined);
    return;
  }
  if (isAnalysis) out.openReasoning();
  yield* passBody(reader, markup, (text) => (isAnalysis ? out.reasoning(text) : out.text(text)));
  if (isAnalysis) out.closeReasoning();
}

function* readCall(reader: TextReader, out: Output, tool: string, markup: readonly string[]): Read<void> {
  yield* reader.skipSpace();
  out.call(tool);
  if ((yield* reader.peek()) === "{") yield* readValue(reader, markup, (text) => out.arguments(text));
  else out.arguments("{}");
  out.endCall();
}

/** Passes text on until the message ends, or the next one begins without that. Other markup is nothing. */
function* passBody(reader: TextReader, markup: readonly string[], sink: (text: string) => void): Read<void> {
  for (;;) {
    const next = yield* reader.next(markup);
    if (next === undefined) return;
    if ("text" in next) {
      sink(next.text);
      reader.advance(next.text.length);
      continue;
    }
    if (next.marker === start || next.marker === channel) return;
    reader.advance(next.marker.length);
    if (ends.includes(next.marker)) return;
  }
}
