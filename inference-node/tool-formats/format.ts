// What a tool format is: how a family of models writes calls, and how they are read out of its output.
import type { CallEnd } from "./json-calls.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

/** What a reading may look at besides the text. */
export interface ReadingContext {
  /** Texts of the control tokens that reach the parser: markup wherever they come, never content. */
  readonly controls: readonly string[];
  /** The JSON Schema of a parameter, for formats that write values without their type. */
  readonly parameterSchema: (tool: string, parameter: string) => unknown;
}

/** How the text of one call is put together: the grammar of a forced call follows it. */
export interface CallSyntax {
  /** The text with which every answer that calls begins its calls; undefined where calls have no markup. */
  readonly trigger: string | undefined;
  /** Before the first call, between two, and after the last. */
  readonly begin: string;
  readonly between: string;
  readonly end: string;
  /** What stands before an answer in words; nothing when left out. */
  readonly answerLead?: string;
  /** The text around the arguments of a call of `name`. */
  readonly call: (name: string) => { readonly before: string; readonly after: string };
  /** Arguments written a parameter at a time; undefined where they are one JSON object. */
  readonly parameters?: ParameterSyntax;
}

/** How one argument is written in formats that don't write JSON. */
export interface ParameterSyntax {
  readonly before: (name: string, isString: boolean) => string;
  readonly after: string;
  /** The beginnings of closing tags, `</` and one or two characters more, that a string's text may not hold. */
  readonly reserved: readonly string[];
}

/** A tool on offer. */
export interface ToolDescription {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of its arguments as JSON text. */
  readonly parametersJson: string;
}

/** A family's way to write tool calls. */
export interface ToolFormat {
  readonly name: string;
  /** Whether a chat template is written for this format. */
  readonly matches: (template: string) => boolean;
  /** Every text with a meaning in the format. Those that are control tokens must reach the parser. */
  readonly markers: readonly string[];
  /** Reads text and calls to the end. */
  readonly read: (reader: TextReader, out: Output, context: ReadingContext) => Read<void>;
  /** How a forced call is written. */
  readonly syntax: CallSyntax;
  /** The format reads the thought too, and every answer, whether tools are on offer or not. */
  readonly readsReasoning?: boolean;
  /** Describes tools as the family's model cards do, for templates that don't. `safe` keeps a text from being control. */
  readonly describe?: (tools: readonly ToolDescription[], safe: (text: string) => string) => string;
  /** Calls that the templates of the family take in one message; unset means any number. */
  readonly callsInMessageMax?: number;
  /** Ids that the family's templates take; any when unset. */
  readonly callId?: { readonly pattern: RegExp; readonly make: (random: (length: number) => string) => string };
}

/** So many markers that begin no call make everything after them text: a reading that fails is read again. */
const brokenMax = 32;

/** Reads text to the end, and calls where one of `openers` comes. What turns out to be no call is text. */
export function* readTextAndCalls(
  reader: TextReader,
  out: Output,
  openers: readonly string[],
  controls: readonly string[],
  readCalls: (opener: string) => Read<CallEnd>,
): Read<void> {
  const all = [...openers, ...controls.filter((text) => !openers.includes(text))];
  let broken = 0;
  for (;;) {
    const next = yield* reader.next(broken < brokenMax ? all : controls);
    if (next === undefined) return;
    if ("text" in next) {
      reader.advance(next.text.length);
      out.text(next.text);
      continue;
    }
    reader.mark();
    reader.advance(next.marker.length);
    const isOpener = openers.includes(next.marker) && broken < brokenMax;
    const end = isOpener ? yield* readCalls(next.marker) : "done";
    if (end !== "broken") {
      reader.release();
      continue;
    }
    broken += 1;
    reader.rewind();
    const again = yield* reader.next(all);
    if (again === undefined || "text" in again) continue;
    reader.advance(again.marker.length);
    // Of a marker that holds a control token the rest is text.
    out.text(controls.reduce((text, control) => text.replaceAll(control, ""), again.marker));
  }
}

/** Reads text to the end where nothing is a call. */
export function* readText(reader: TextReader, out: Output, controls: readonly string[]): Read<void> {
  let marker: string | undefined;
  do marker = yield* reader.until(controls, (text) => out.text(text));
  while (marker !== undefined);
}
