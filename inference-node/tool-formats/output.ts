// What a model's output is made of, and the collector that numbers its tool calls.

/** A piece of output, in order. A call's first piece has its id and name; they come once. */
export type OutputPiece =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "reasoning"; readonly text: string }
  | {
      readonly type: "toolCall";
      /** Counts the calls of one answer from 0. */
      readonly index: number;
      readonly id?: string;
      readonly name?: string;
      /** The next characters of the arguments' JSON text. */
      readonly arguments: string;
    };

export interface OutputOptions {
  /** Whether a tool of this name may be called; the markup of any other stays text. */
  readonly offers: (name: string) => boolean;
  /** The answer is over when this many calls are complete. */
  readonly callsMax: number;
  readonly newCallId: () => string;
}

/**
 * Collects pieces. White space beside a call belongs to the call's markup and is dropped; everywhere else it is kept,
 * one piece later.
 */
export class Output {
  readonly #options: OutputOptions;
  #pieces: OutputPiece[] = [];
  #space = "";
  #reasons = false;
  #thought = false;
  #reasoningSpace = "";
  #calls = 0;
  #complete = 0;
  /** Nothing but white space came since the last call. */
  #besideCall = false;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  get calls(): number {
    return this.#calls;
  }

  /** Whether the calls that were allowed are complete: what follows is not part of the answer. */
  get done(): boolean {
    return this.#complete >= this.#options.callsMax;
  }

  /** Whether what comes now is reasoning. */
  get reasons(): boolean {
    return this.#reasons;
  }

  openReasoning(): void {
    this.#reasons = true;
  }

  closeReasoning(): void {
    this.#reasons = false;
    this.#reasoningSpace = "";
  }

  offers(name: string): boolean {
    return this.#options.offers(name);
  }

  text(text: string): void {
    if (text === "" || this.done) return;
    const whole = this.#space + text;
    const end = whole.trimEnd().length;
    this.#space = whole.slice(end);
    if (end === 0) return;
    this.#besideCall = false;
    this.#add({ type: "text", text: whole.slice(0, end) });
  }

  /** More of the thought. White space at both its ends belongs to the markup. */
  reasoning(text: string): void {
    if (this.done) return;
    const whole = this.#thought ? this.#reasoningSpace + text : text.trimStart();
    const end = whole.trimEnd().length;
    this.#reasoningSpace = whole.slice(end);
    if (end === 0) return;
    this.#thought = true;
    this.#add({ type: "reasoning", text: whole.slice(0, end) });
  }

  /** Begins a call. */
  call(name: string): void {
    if (this.done) return;
    this.#space = "";
    this.#besideCall = true;
    this.#add({ type: "toolCall", index: this.#calls++, id: this.#options.newCallId(), name, arguments: "" });
  }

  /** More of the arguments of the call that began last. */
  arguments(text: string): void {
    if (text !== "" && !this.done) this.#add({ type: "toolCall", index: this.#calls - 1, arguments: text });
  }

  /** Ends the call that began last. */
  endCall(): void {
    this.#complete += 1;
  }

  /** Ends the answer: white space at its end is text, unless it follows a call. */
  end(): void {
    if (this.#space !== "" && !this.#besideCall && !this.done) this.#add({ type: "text", text: this.#space });
    this.#space = "";
  }

  take(): OutputPiece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #add(piece: OutputPiece): void {
    const last = this.#pieces.at(-1);
    const merged = last === undefined ? undefined : merge(last, piece);
    if (merged === undefined) this.#pieces.push(piece);
    else this.#pieces[this.#pieces.length - 1] = merged;
  }
}

/** Two adjacent pieces of the same thing as one. */
function merge(last: OutputPiece, next: OutputPiece): OutputPiece | undefined {
  if (last.type === "toolCall" || next.type === "toolCall") {
    if (last.type !== next.type || last.type !== "toolCall" || next.type !== "toolCall") return undefined;
    return last.index === next.index ? { ...last, arguments: last.arguments + next.arguments } : undefined;
  }
  return last.type === next.type ? { ...last, text: last.text + next.text } : undefined;
}
