// Turns a model's text, however it is cut, into text, reasoning and tool calls.
import { randomInt } from "node:crypto";
import { readText, type ToolFormat } from "./format.ts";
import { Output, type OutputPiece } from "./output.ts";
import { type ReasoningMarkers, readReasoning } from "./reasoning.ts";
import { type Read, TextReader } from "./text-reader.ts";

/** What one answer is to be read as. */
export interface ParserOptions {
  /** Undefined when no tools are on offer: then markup is text. */
  readonly format: ToolFormat | undefined;
  /** Undefined when the model does not reason. */
  readonly reasoning: ReasoningMarkers | undefined;
  /** Whether the prompt ended inside a thought. */
  readonly reasoningOpened: boolean;
  /** Texts of the control tokens that the child shows. */
  readonly controls: readonly string[];
  /** Tools that may be called, with their parameters' JSON Schema. */
  readonly tools: ReadonlyMap<string, unknown>;
  readonly callsMax: number;
  /** Random letters and digits; for tests. */
  readonly random?: ((length: number) => string) | undefined;
}

/** An answer's parser. It never throws, whatever the text is. */
export class OutputParser {
  readonly #reader = new TextReader();
  readonly #out: Output;
  readonly #reading: Read<void>;

  readonly #controls: string[];
  readonly #close: string | undefined;

  constructor(options: ParserOptions) {
    this.#controls = [...options.controls];
    this.#close = options.reasoning?.close;
    const { format, tools, callsMax, random = randomLetters } = options;
    this.#out = new Output({
      offers: (name) => tools.has(name),
      callsMax,
      newCallId: () => format?.callId?.make(random) ?? `call_${random(24)}`,
    });
    this.#reading = this.#read(options);
    this.#reading.next();
  }

  /** Whether the output is now inside a thought. */
  get reasons(): boolean {
    return this.#out.reasons;
  }

  /** Calls that began. */
  get calls(): number {
    return this.#out.calls;
  }

  /** Whether all calls that were allowed are complete: the generation may end. */
  get done(): boolean {
    return this.#out.done;
  }

  /** The thought is being closed from outside: if the model does it first, the second close is no text. */
  expectClose(): void {
    if (this.#close !== undefined && !this.#controls.includes(this.#close)) this.#controls.push(this.#close);
  }

  push(text: string): OutputPiece[] {
    this.#reader.add(text);
    this.#reading.next();
    return this.#out.take();
  }

  /** What was held back. */
  end(): OutputPiece[] {
    this.#reader.end();
    this.#reading.next();
    this.#out.end();
    return this.#out.take();
  }

  *#read({ format, reasoning, reasoningOpened, tools }: ParserOptions): Read<void> {
    const [reader, out, controls] = [this.#reader, this.#out, this.#controls];
    if (reasoning !== undefined && format?.readsReasoning !== true) {
      const callControls = controls.filter((text) => format?.markers.includes(text));
      yield* readReasoning(reader, out, reasoning, reasoningOpened, callControls);
    }
    const parameterSchema = (tool: string, name: string): unknown => propertyOf(tools.get(tool), name);
    if (format === undefined) yield* readText(reader, out, controls);
    else yield* format.read(reader, out, { controls, parameterSchema });
  }
}

function propertyOf(schema: unknown, name: string): unknown {
  const properties = (schema as { properties?: Record<string, unknown> } | undefined)?.properties;
  return typeof properties === "object" && properties !== null && Object.hasOwn(properties, name)
    ? properties[name]
    : undefined;
}

const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function randomLetters(length: number): string {
  return Array.from({ length }, () => letters[randomInt(letters.length)]).join("");
}
