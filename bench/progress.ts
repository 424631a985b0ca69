// Shows how far a run is: a bar on a terminal, a line a measurement elsewhere.

/** Milliseconds between two drawings: the terminal must not cost what is measured. */
const redrawMs = 200;
const barWidth = 24;

export interface ProgressOutput {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export class Progress {
  readonly #output: ProgressOutput;
  readonly #total: number;
  readonly #now: () => number;
  readonly #startedAt: number;
  #done = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #stage = "";

  /** `total` units of work; `now` in milliseconds of a monotonic clock. */
  constructor(output: ProgressOutput, total: number, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#total = total;
    this.#now = now;
    this.#startedAt = now();
  }

  /** Names what goes on now. Off a terminal a new stage is a new line. */
  stage(name: string): void {
    if (name === this.#stage) return;
    this.#stage = name;
    if (this.#output.isTTY) this.#draw(true);
    else this.#output.write(`${name}\n`);
  }

  /** Names a round of a measurement; `round` counts from 0, negative ones are the warm-up. */
  round(measurement: string, round: number, rounds: number, target: string): void {
    const detail = round < 0 ? "warm-up" : `round ${round + 1} of ${rounds}`;
    // A line a measurement is enough where there is no bar.
    this.stage(this.#output.isTTY ? `${measurement}, ${detail}, ${target}` : measurement);
  }

  /** So many units more are done. */
  advance(units = 1): void {
    this.#done = Math.min(this.#total, this.#done + units);
    if (this.#output.isTTY) this.#draw(this.#done === this.#total);
  }

  /** Takes the bar away, so that what follows begins on a clean line. */
  clear(): void {
    if (this.#output.isTTY) this.#output.write("\r\x1b[K");
  }

  #draw(now: boolean): void {
    const at = this.#now();
    if (!now && at - this.#drawnAt < redrawMs) return;
    this.#drawnAt = at;
    const filled = Math.round((this.#done / this.#total) * barWidth);
    const bar = "#".repeat(filled) + ".".repeat(barWidth - filled);
    const line = `[${bar}] ${this.#done}/${this.#total} ${this.#stage}${this.#timeLeft(at)}`;
    this.#output.write(`\r\x1b[K${line.slice(0, (this.#output.columns ?? 80) - 1)}`);
  }

  #timeLeft(at: number): string {
    if (this.#done === 0 || this.#done === this.#total) return "";
    const seconds = Math.round((((at - this.#startedAt) / this.#done) * (this.#total - this.#done)) / 1000);
    return seconds < 60 ? `, ${seconds} s left` : `, ${Math.floor(seconds / 60)} min ${seconds % 60} s left`;
  }
}
