// What `npm start` says on the terminal: one line a step, the running one redrawn where the terminal can.
import type { DevFile } from "./state.ts";

export interface Output {
  isTTY?: boolean;
  write(text: string): unknown;
}

const CLEAR_LINE = "\r\u001b[K";
/** A terminal that cannot redraw gets a progress line at most this often, in milliseconds. */
const PLAIN_EVERY_MS = 5_000;

export class Report {
  readonly #out: Output;
  readonly #now: () => number;
  #open = false;
  #plainAt = Number.NEGATIVE_INFINITY;

  constructor(out: Output, now: () => number) {
    this.#out = out;
    this.#now = now;
  }

  /** Shows how far the running step is; the next call replaces it. */
  progress(text: string): void {
    if (this.#out.isTTY === true) {
      this.#out.write(`${CLEAR_LINE}  ... ${text}`);
      this.#open = true;
    } else if (this.#now() - this.#plainAt >= PLAIN_EVERY_MS) {
      this.#plainAt = this.#now();
      this.#out.write(`  ... ${text}\n`);
    }
  }

  /** Says that a step is done. */
  done(text: string): void {
    this.line(`  ok  ${text}`);
    this.#plainAt = Number.NEGATIVE_INFINITY;
  }

  line(text: string): void {
    this.#out.write(`${this.#open ? CLEAR_LINE : ""}${text}\n`);
    this.#open = false;
  }
}

/** A line for bash that streams an answer of the running stack. */
export function curlLine(dev: DevFile): string {
  const body = JSON.stringify({
    model: dev.model,
    stream: true,
    messages: [{ role: "user", content: "What is the capital of France?" }],
  });
  return (
    `curl -N ${dev.url}/v1/chat/completions -H "Authorization: Bearer ${dev.apiKey}" ` +
    `-H "Content-Type: application/json" -d '${body.replaceAll("'", "'\\''")}'`
  );
}

/** What a newcomer needs to know of the stack that is ready. */
export function welcome(dev: DevFile, devPath: string): string {
  return [
    "",
    "Sluice is ready.",
    "",
    `  URL        ${dev.url}/v1`,
    `  API key    ${dev.apiKey}`,
    `  Admin key  ${dev.adminKey}`,
    `  Model      ${dev.model}`,
    "",
    "Stream an answer:",
    "",
    curlLine(dev),
    "",
    `The same as JSON: ${devPath}. Ctrl-C ends all of it.`,
  ].join("\n");
}
