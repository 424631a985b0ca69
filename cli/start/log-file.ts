// A log file of bounded size: when full it becomes `.1` and a new one begins.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

const TAIL_LINES = 20;

export class LogFile {
  readonly path: string;
  readonly #bytesMax: number;
  #file: number;
  #bytes: number;
  #tail: string[] = [];

  /** Appends to `path`; at most two files of `bytesMax` bytes are kept. Throws the file system's errors. */
  constructor(path: string, bytesMax = 5_000_000) {
    this.path = path;
    this.#bytesMax = bytesMax;
    this.#file = openSync(path, "a", 0o600);
    this.#bytes = fstatSync(this.#file).size;
  }

  /** Writes one line. A full disk loses the line, never the service. */
  line(text: string): void {
    this.#tail.push(text);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    const data = Buffer.from(`${text}\n`);
    try {
      if (this.#bytes > 0 && this.#bytes + data.length > this.#bytesMax) this.#rotate();
      this.#bytes += writeSync(this.#file, data);
    } catch {
      // Nothing can be said about a log that cannot be written, but in the log.
    }
  }

  /** The last lines, oldest first. */
  tail(): string[] {
    return [...this.#tail];
  }

  close(): void {
    closeSync(this.#file);
  }

  #rotate(): void {
    renameSync(this.path, `${this.path}.1`);
    const next = openSync(this.path, "a", 0o600);
    closeSync(this.#file);
    this.#file = next;
    this.#bytes = 0;
  }
}
