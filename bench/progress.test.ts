// The bar fits its terminal and stays out of logs.
import { describe, expect, it } from "vitest";
import { Progress } from "./progress.ts";

function terminal(
  isTTY: boolean,
  columns = 100,
): { text: () => string; write(text: string): void; isTTY: boolean; columns: number } {
  let written = "";
  const write = (text: string): void => {
    written += text;
  };
  return { isTTY, columns, write, text: () => written };
}

describe("Progress", () => {
  it("draws a bar with the time left on a terminal", () => {
    const output = terminal(true);
    let now = 0;
    const progress = new Progress(output, 8, () => now);
    progress.stage("4 streams");
    now = 10_000;
    progress.advance(2);
    expect(output.text().split("\r").at(-1)).toBe("\x1b[K[######..................] 2/8 4 streams, 30 s left");
  });

  it("tells minutes when there are any", () => {
    const output = terminal(true);
    let now = 0;
    const progress = new Progress(output, 100, () => now);
    now = 5_000;
    progress.advance();
    expect(output.text()).toContain("8 min 15 s left");
  });

  it("does not redraw more often than five times a second", () => {
    const output = terminal(true);
    let now = 0;
    const progress = new Progress(output, 1000, () => now);
    for (let request = 0; request < 900; request++) {
      now += 1;
      progress.advance();
    }
    expect(output.text().split("\r").length - 1).toBeLessThanOrEqual(5);
  });

  it("never writes a line longer than the terminal", () => {
    const output = terminal(true, 30);
    new Progress(output, 3, () => 0).stage("a stage with a name that does not fit");
    for (const line of output.text().split("\r\x1b[K")) expect(line.length).toBeLessThan(30);
  });

  it("writes one plain line a stage where there is no terminal", () => {
    const output = terminal(false);
    const progress = new Progress(output, 4, () => 0);
    progress.stage("1 stream");
    progress.advance();
    progress.stage("1 stream");
    progress.advance();
    progress.stage("4 streams");
    progress.clear();
    expect(output.text()).toBe("1 stream\n4 streams\n");
  });
});
