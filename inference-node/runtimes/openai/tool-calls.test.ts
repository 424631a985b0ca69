// However an engine numbers, names and cuts its tool calls, they come out with stable indexes, one id and one name each.
import { expect, test } from "vitest";
import { ToolCalls } from "./tool-calls.ts";

type Piece = { index?: number; id?: string | null; function?: { name?: string | null; arguments?: unknown } };

/** The pieces put together as a client does that trusts indexes. */
function folded(pieces: Piece[]): { id: string; name: string; arguments: string }[] {
  const calls = new ToolCalls();
  const byIndex = new Map<number, { id: string; name: string; arguments: string }>();
  for (const piece of pieces) {
    for (const { index, id, name, arguments: text } of calls.read(piece)) {
      const call = byIndex.get(index) ?? { id: "", name: "", arguments: "" };
      byIndex.set(index, { id: call.id + id, name: call.name + name, arguments: call.arguments + text });
    }
  }
  return [...byIndex].sort(([a], [b]) => a - b).map(([, call]) => call);
}

const two = [
  { id: "a", name: "f", arguments: '{"x":1}' },
  { id: "b", name: "g", arguments: "{}" },
];

test("OpenAI's own way: index always, id and name once, arguments in pieces", () => {
  const pieces = [
    { index: 0, id: "a", function: { name: "f", arguments: "" } },
    { index: 0, function: { arguments: '{"x"' } },
    { index: 1, id: "b", function: { name: "g", arguments: "" } },
    { index: 0, function: { arguments: ":1}" } },
    { index: 1, function: { arguments: "{}" } },
  ];
  expect(folded(pieces)).toEqual(two);
});

test("a name and an id that are repeated with every piece are given once", () => {
  const pieces = ["", '{"x"', ":1}"].map((text) => ({ index: 0, id: "a", function: { name: "f", arguments: text } }));
  expect(folded(pieces)).toEqual([two[0]]);
});

test("an id that changes with every piece stays the first", () => {
  const pieces = [
    { index: 0, id: "a", function: { name: "f", arguments: '{"x"' } },
    { index: 0, id: "z", function: { arguments: ":1}" } },
  ];
  expect(folded(pieces)).toEqual([two[0]]);
});

test("calls that all have the index 0 are told apart by id and name", () => {
  const pieces = [
    { index: 0, id: "a", function: { name: "f", arguments: '{"x":1}' } },
    { index: 0, id: "b", function: { name: "g", arguments: "{}" } },
  ];
  expect(folded(pieces)).toEqual(two);
});

test("whole calls without index are calls of their own; arguments as an object become text", () => {
  const pieces = [
    { id: "a", function: { name: "f", arguments: { x: 1 } } },
    { id: "b", function: { name: "g", arguments: {} } },
  ];
  expect(folded(pieces)).toEqual(two);
});

test("a call without an id gets one, and two get different ones", () => {
  const pieces = [{ function: { name: "f", arguments: "{}" } }, { function: { name: "f", arguments: "{}" } }];
  const calls = folded(pieces);
  expect(calls.map(({ name }) => name)).toEqual(["f", "f"]);
  expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
  expect(calls[0]?.id).toMatch(/^call_[0-9a-f]{24}$/);
});

test("arguments before the name wait for it, and a null is nothing", () => {
  const pieces = [
    { index: 0, id: "a", function: { name: null, arguments: '{"x"' } },
    { index: 0, id: null, function: { name: "f", arguments: ":1}" } },
  ];
  expect(folded(pieces)).toEqual([two[0]]);
});

test("a call that never says its name, or calls without end, are refused before they fill the memory", () => {
  const nameless = new ToolCalls();
  const fill = (): void => {
    for (let at = 0; at < 100; at += 1) nameless.read({ index: 0, function: { arguments: "x".repeat(100_000) } });
  };
  expect(fill).toThrow("malformed");
  const endless = new ToolCalls();
  const flood = (): void => {
    for (let index = 0; index < 5_000; index += 1) endless.read({ index, id: `i${index}`, function: { name: "f" } });
  };
  expect(flood).toThrow("malformed");
});
