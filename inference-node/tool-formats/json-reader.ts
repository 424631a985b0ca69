// Reads JSON out of a model's output as it comes: strings, and whole values passed on character by character.
import type { Read, TextReader } from "./text-reader.ts";

/** Names and ids are short; what is longer is not one. */
const stringCharsMax = 1_000_000;

/** A JSON string, decoded; undefined when there is none or it is cut short. */
export function* readString(reader: TextReader): Read<string | undefined> {
  if ((yield* reader.peek()) !== '"') return undefined;
  let raw = "";
  const whole = yield* readValue(reader, [], (text) => {
    raw += text;
  });
  if (!whole || raw.length > stringCharsMax) return undefined;
  try {
    return JSON.parse(raw) as string;
  } catch {
    return undefined;
  }
}

/**
 * Passes on one JSON value as its text comes. Returns false when the value is cut short by a marker or the end; what was
 * open is then closed, so that the text is JSON as far as the model wrote any. Raw control characters inside strings,
 * which JSON forbids and models write, are escaped.
 */
export function* readValue(
  reader: TextReader,
  markers: readonly string[],
  sink: (text: string) => void,
): Read<boolean> {
  const scanner = new ValueScanner();
  for (;;) {
    const next = yield* reader.next(markers);
    if (next === undefined || "marker" in next) {
      // A number or word has no end of its own.
      if (scanner.endsHere) return true;
      sink(scanner.closing());
      return false;
    }
    const { taken, text, ended } = scanner.scan(next.text);
    reader.advance(taken);
    if (text !== "") sink(text);
    if (ended) return scanner.valid;
  }
}

/** Finds where a value ends. It trusts brackets and quotes; whether the rest is right is the reader's business. */
class ValueScanner {
  readonly #open: string[] = [];
  #inString = false;
  #isKey = false;
  #escaped = false;
  /** Digits of a `\u` that are still to come. */
  #hexLeft = 0;
  #begun = false;
  #bare = false;
  /** The last character outside strings that is no space. */
  #last = "";
  /** The number or word that is being written. */
  #word = "";
  /** A comma, with the space behind it: passed on with what it stands before, for a cut would leave it before nothing. */
  #held = "";
  valid = true;

  get endsHere(): boolean {
    return this.#begun && this.#bare && this.#open.length === 0;
  }

  scan(text: string): { taken: number; text: string; ended: boolean } {
    let out = "";
    for (let i = 0; i < text.length; i++) {
      const char = text[i] as string;
      if (this.#inString) {
        out += this.#stringChar(char);
        if (!this.#inString && this.#open.length === 0) return { taken: i + 1, text: out, ended: true };
        continue;
      }
      if (this.endsHere && /[\s,\]}]/.test(char)) return { taken: i, text: out, ended: true };
      if (!this.#fits(char)) {
        this.valid = false;
        return { taken: i, text: out + this.closing(), ended: true };
      }
      out += this.#passed(char);
      if (this.#structure(char)) return { taken: i + 1, text: out, ended: true };
    }
    return { taken: text.length, text: out, ended: false };
  }

  /** What is missing to close all that is open. */
  closing(): string {
    return this.#endOfScalar() + this.#missingValue() + this.#open.toReversed().join("");
  }

  #endOfScalar(): string {
    if (this.#inString) return `${this.#escaped ? "\\" : "0".repeat(this.#hexLeft)}"`;
    if (this.#word === "") return "";
    if (/[-+.eE]$/.test(this.#word) && /^-?\d*/.exec(this.#word)?.[0] !== "") return "0";
    return ["true", "false", "null"].find((word) => word.startsWith(this.#word))?.slice(this.#word.length) ?? "";
  }

  #missingValue(): string {
    if (this.#isKey) return ":null";
    return !this.#inString && this.#last === ":" ? "null" : "";
  }

  #passed(char: string): string {
    if (char === "," || (this.#held !== "" && char.trim() === "")) {
      this.#held += char;
      return "";
    }
    const passed = this.#held + char;
    this.#held = "";
    return passed;
  }

  #stringChar(char: string): string {
    if (this.#escaped) {
      this.#escaped = false;
      this.#hexLeft = char === "u" ? 4 : 0;
    } else if (char === "\\") this.#escaped = true;
    else if (char === '"') this.#inString = false;
    else if (char < " ") return JSON.stringify(char).slice(1, -1);
    else this.#hexLeft = Math.max(0, this.#hexLeft - 1);
    return char;
  }

  /** Whether a character may come here outside strings. */
  #fits(char: string): boolean {
    if (char === "}" || char === "]") return this.#open.at(-1) === char;
    return /[\s{["0-9A-Za-z+\-.,:]/.test(char);
  }

  /** Takes a character outside strings; says whether the value ends with it. */
  #structure(char: string): boolean {
    if (char.trim() === "") return false;
    this.#begun = true;
    this.#isKey = char === '"' && this.#open.at(-1) === "}" && /[{,]/.test(this.#last);
    this.#last = char;
    const isBare = !/["{}[\],:]/.test(char);
    this.#word = isBare ? this.#word + char : "";
    if (char === '"') this.#inString = true;
    else if (char === "{") this.#open.push("}");
    else if (char === "[") this.#open.push("]");
    else if (char === "}" || char === "]") {
      this.#open.pop();
      return this.#open.length === 0;
    } else this.#bare = true;
    return false;
  }
}
