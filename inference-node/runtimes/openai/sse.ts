// Takes a stream of server-sent events apart, however its bytes are cut (https://html.spec.whatwg.org/multipage/server-sent-events.html).
import { Code, NodeError } from "../../node-error.ts";

export interface ServerSentEvent {
  /** "message" when the stream names none. */
  readonly type: string;
  readonly data: string;
}

/** Characters of one event; prompt log-probabilities and vast tool arguments stay below. */
const eventCharsMax = 8 * 1024 * 1024;

const lineEnd = /[\r\n]/g;

/** Feed it pieces in order; an event is out when its blank line has come. Throws INTERNAL for an event without end. */
export class SseParser {
  readonly #decoder = new TextDecoder("utf-8");
  readonly #charsMax: number;
  /** What has come of the line that is not at its end. */
  #line = "";
  #data: string[] = [];
  #dataChars = 0;
  #type = "";
  /** The last character was a carriage return: a line feed right after it belongs to it. */
  #afterReturn = false;

  constructor(charsMax: number = eventCharsMax) {
    this.#charsMax = charsMax;
  }

  /** The events that these bytes complete. */
  push(bytes: Uint8Array): ServerSentEvent[] {
    return this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What was left without its blank line when the stream ended: whole for some servers, cut for others. */
  end(): ServerSentEvent | undefined {
    const events = this.#take(`${this.#decoder.decode()}\n\n`);
    return events.at(-1);
  }

  #take(text: string): ServerSentEvent[] {
    const events: ServerSentEvent[] = [];
    let start = 0;
    if (this.#afterReturn && text !== "") {
      if (text.startsWith("\n")) start = 1;
      this.#afterReturn = false;
    }
    for (;;) {
      lineEnd.lastIndex = start;
      const end = lineEnd.exec(text)?.index;
      if (end === undefined) break;
      this.#endLine(this.#line + text.slice(start, end), events);
      this.#line = "";
      start = end + 1;
      if (text[end] !== "\r") continue;
      if (start === text.length) this.#afterReturn = true;
      else if (text[start] === "\n") start += 1;
    }
    this.#line += text.slice(start);
    if (this.#line.length + this.#dataChars > this.#charsMax) {
      throw new NodeError(Code.INTERNAL, "The engine sent an event without an end.", { reason: "UPSTREAM_MALFORMED" });
    }
    return events;
  }

  #endLine(line: string, events: ServerSentEvent[]): void {
    if (line === "") {
      if (this.#data.length > 0) events.push({ type: this.#type || "message", data: this.#data.join("\n") });
      this.#data = [];
      this.#dataChars = 0;
      this.#type = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // A comment, such as a ping.
    const name = colon === -1 ? line : line.slice(0, colon);
    const raw = colon === -1 ? "" : line.slice(colon + 1);
    const value = raw.startsWith(" ") ? raw.slice(1) : raw;
    if (name === "event") this.#type = value;
    // Older llama-servers send a failure as a field of its own.
    if (name === "error") this.#type = "error";
    if (name !== "data" && name !== "error") return;
    this.#data.push(value);
    this.#dataChars += value.length + 1;
  }
}
