// Endless events do not fill the memory.
import { expect, it } from "vitest";
import { SseParser } from "./sse.ts";

it("gives up on a line that never ends instead of filling the memory", () => {
  const parser = new SseParser(() => {});
  const piece = "x".repeat(100_000);
  expect(() => {
    for (let count = 0; count < 20; count++) parser.push(piece);
  }).toThrow(RangeError);
});

it("gives up on an event of endless lines too", () => {
  const parser = new SseParser(() => {});
  const line = `data: ${"x".repeat(100_000)}\n`;
  expect(() => {
    for (let count = 0; count < 20; count++) parser.push(line);
  }).toThrow(RangeError);
});
