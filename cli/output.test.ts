// What reaches the terminal: aligned tables, colours and bars only where a person reads, nothing that moves the cursor.
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { formatBytes, formatTime, Output, printable } from "./output.ts";

function output(options: { columns?: number; json?: boolean; noColor?: boolean } = {}) {
  const written = { stdout: "", stderr: "" };
  const terminal = options.columns === undefined ? {} : { isTTY: true, columns: options.columns };
  const sink = (name: "stdout" | "stderr") => ({
    ...terminal,
    write: (text: string) => {
      written[name] += text;
    },
  });
  const made = new Output({
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    json: options.json ?? false,
    noColor: options.noColor ?? false,
  });
  return { made, written };
}

const ESCAPE = "\u001b[";

test("columns are as wide as their widest cell, and no line ends in spaces", () => {
  const { made, written } = output();
  made.table(
    ["A", "BB"],
    [
      ["long", "x"],
      ["é", ""],
    ],
  );
  expect(written.stdout).toBe("A     BB\nlong  x\né\n");
});

test("colours are for terminals only, and NO_COLOR is honoured there", () => {
  const piped = output();
  piped.made.table(["A"], []);
  piped.made.complain("no");
  expect(piped.written).toEqual({ stdout: "A\n", stderr: "error: no\n" });
  const terminal = output({ columns: 80 });
  terminal.made.table(["A"], []);
  expect(terminal.written.stdout).toContain(ESCAPE);
  expect(stripVTControlCharacters(terminal.written.stdout)).toBe("A\n");
  const plain = output({ columns: 80, noColor: true });
  plain.made.table(["A"], []);
  expect(plain.written.stdout).toBe("A\n");
});

test("a name can't move the cursor or end the line", () => {
  expect(printable("a\u001b[2Jb\nc\u0007")).toBe("ab c ");
  const { made, written } = output();
  made.table(["A"], [["x\u001b[31m\ny"]]);
  expect(written.stdout).toBe("A\nx y\n");
});

test("on a terminal the bar is redrawn in place, within its width, and wiped before other text", () => {
  const { made, written } = output({ columns: 40 });
  made.progress({ label: "Downloading", doneBytes: 50, totalBytes: 100 });
  made.progress({ label: "Downloading", doneBytes: 100, totalBytes: 100 });
  expect(written.stderr).not.toContain("\n");
  for (const frame of written.stderr.split("\r").slice(1)) {
    expect(stripVTControlCharacters(frame).length).toBeLessThan(40);
  }
  written.stderr = "";
  made.remark("done");
  expect(written.stderr).toBe(`\r${ESCAPE}Kdone\n`);
});

test("the bar tells part, percent and sizes", () => {
  const { made, written } = output({ columns: 120 });
  made.progress({ label: "Unpacking", doneBytes: 25_000_000, totalBytes: 100_000_000 });
  expect(stripVTControlCharacters(written.stderr)).toContain(
    `Unpacking  ${"█".repeat(6)}${"░".repeat(18)}  25 %  25.0 MB of 100.0 MB`,
  );
  made.progress({ label: "Downloading", doneBytes: 5_000_000, totalBytes: undefined });
  expect(stripVTControlCharacters(written.stderr)).toContain("Downloading  5.0 MB");
});

test("where nobody watches, progress is one line a phase, and none with --json", () => {
  const { made, written } = output();
  for (const doneBytes of [0, 1, 2]) made.progress({ label: "Downloading", doneBytes, totalBytes: 2 });
  made.progress({ label: "Unpacking", doneBytes: 0, totalBytes: 2 });
  expect(written.stderr).toBe("Downloading\nUnpacking\n");
  const json = output({ json: true });
  json.made.progress({ label: "Downloading", doneBytes: 0, totalBytes: 2 });
  json.made.remark("a remark");
  expect(json.written.stderr).toBe("");
});

test("sizes and times read well", () => {
  expect([0, 999, 1000, 98_362_432, 4.2e12].map(formatBytes)).toEqual([
    "0 bytes",
    "999 bytes",
    "1.0 kB",
    "98.4 MB",
    "4.2 TB",
  ]);
  expect(formatTime(1_795_608_000)).toBe("2026-11-25 12:00 UTC");
  expect(formatTime("2026-11-25T12:00:00Z")).toBe("2026-11-25 12:00 UTC");
  expect(formatTime("soon")).toBe("soon");
});
