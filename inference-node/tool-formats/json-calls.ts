// Calls written as JSON objects: {"name": …, "arguments": {…}}, with the arguments passed on as they come.
import { readString, readValue } from "./json-reader.ts";
import type { Output } from "./output.ts";
import type { Read, TextReader } from "./text-reader.ts";

/** `cut`: the call began and was cut short; what came of it stands. `broken`: this is no call, and nothing came of it. */
export type CallEnd = "done" | "cut" | "broken";

const argumentKeys = new Set(["arguments", "parameters"]);

/** One call object. `markers` are control tokens: they end it wherever they come. */
function* readJsonCall(reader: TextReader, out: Output, markers: readonly string[]): Read<CallEnd> {
  return yield* new JsonCall(reader, out, markers).read();
}

/** One call object or an array of them. The reader's mark lies where a broken one begins. */
export function* readJsonCalls(reader: TextReader, out: Output, markers: readonly string[]): Read<CallEnd> {
  if (!(yield* reader.skip("["))) return yield* readJsonCall(reader, out, markers);
  for (;;) {
    yield* reader.skipSpace();
    const end = yield* readJsonCall(reader, out, markers);
    if (end !== "done") return end;
    reader.mark();
    yield* reader.skipSpace();
    if (yield* reader.skip("]")) return "done";
    if (!(yield* reader.skip(","))) return "cut";
  }
}

class JsonCall {
  readonly #reader: TextReader;
  readonly #out: Output;
  readonly #markers: readonly string[];
  #name: string | undefined;
  /** Arguments that came before the name. */
  #early: string | undefined;
  #begun = false;

  constructor(reader: TextReader, out: Output, markers: readonly string[]) {
    this.#reader = reader;
    this.#out = out;
    this.#markers = markers;
  }

  *read(): Read<CallEnd> {
    const whole = yield* this.#object();
    if (!this.#begun) {
      if (!whole || this.#name === undefined) return "broken";
      if (!this.#begin()) return "broken";
      this.#out.arguments(this.#early ?? "{}");
    }
    this.#out.endCall();
    return whole ? "done" : "cut";
  }

  #begin(): boolean {
    if (this.#begun || this.#name === undefined || !this.#out.offers(this.#name)) return false;
    this.#begun = true;
    this.#reader.release();
    this.#out.call(this.#name);
    return true;
  }

  *#object(): Read<boolean> {
    const reader = this.#reader;
    if (!(yield* reader.skip("{"))) return false;
    for (;;) {
      yield* reader.skipSpace();
      const key = yield* readString(reader);
      yield* reader.skipSpace();
      if (key === undefined || !(yield* reader.skip(":"))) return false;
      yield* reader.skipSpace();
      if (!(yield* this.#member(key))) return false;
      yield* reader.skipSpace();
      if (yield* reader.skip("}")) return true;
      if (!(yield* reader.skip(","))) return false;
    }
  }

  *#member(key: string): Read<boolean> {
    const char = yield* this.#reader.peek();
    if (key === "name" || (key === "function" && char === '"')) {
      this.#name = yield* readString(this.#reader);
      return this.#name !== undefined && this.#out.offers(this.#name);
    }
    // OpenAI's own nesting, which models know too.
    if (key === "function" && char === "{") return yield* this.#object();
    if (argumentKeys.has(key) && !this.#begun && this.#early === undefined) return yield* this.#arguments(char);
    return yield* readValue(this.#reader, this.#markers, () => undefined);
  }

  *#arguments(char: string | undefined): Read<boolean> {
    if (char === "{" && this.#begin()) {
      return yield* readValue(this.#reader, this.#markers, (text) => this.#out.arguments(text));
    }
    let raw = "";
    const whole = yield* readValue(this.#reader, this.#markers, (text) => {
      raw += text;
    });
    this.#early = argumentsObject(raw);
    return whole && this.#early !== undefined;
  }
}

/** Arguments that are an object, JSON text of one, or nothing, as JSON text; undefined for anything else. */
function argumentsObject(raw: string): string | undefined {
  try {
    const value: unknown = JSON.parse(raw);
    if (value === null || value === "") return "{}";
    if (typeof value === "string") return isObject(JSON.parse(value)) ? value : undefined;
    return isObject(value) ? raw : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
