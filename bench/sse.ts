// Takes a text stream of server-sent events apart (WHATWG HTML, section 9.2.6), as far as a benchmark needs it.

/** Longest unfinished event, in UTF-16 units; a server that never ends a line must not fill the memory. */
const pendingLengthMax = 1 << 20;

/** Calls back with the data of each event, joined as the specification says; names, ids and comments are dropped. */
export class SseParser {
  readonly #onData: (data: string) => void;
  #pending = "";
  #data: string | undefined;
  /** The last text ended in CR: an LF that begins the next one belongs to it. */
  #afterCarriageReturn = false;

  constructor(onData: (data: string) => void) {
    this.#onData = onData;
  }

  /** Takes the next piece of text, cut anywhere. Throws a RangeError when one event is longer than 1 Mi characters. */
  push(text: string): void {
    const rest = this.#afterCarriageReturn && text.startsWith("\n") ? text.slice(1) : text;
    if (text !== "") this.#afterCarriageReturn = text.endsWith("\r");
    const lines = (this.#pending + rest).split(/\r\n|\n|\r/);
    this.#pending = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
    if (this.#pending.length + (this.#data?.length ?? 0) > pendingLengthMax) {
      throw new RangeError(`an event is longer than ${pendingLengthMax} characters`);
    }
  }

  #line(line: string): void {
    if (line === "") {
      const data = this.#data;
      this.#data = undefined;
      if (data !== undefined) this.#onData(data);
      return;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    if (field !== "data") return;
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
  }
}
