// Events come out whole and alike, however the stream's bytes are cut.
import { expect, test } from "vitest";
import { type ServerSentEvent, SseParser } from "./sse.ts";

const encoder = new TextEncoder();

/** The events of bytes that come in pieces of `size`. */
function parse(text: string, size = Number.POSITIVE_INFINITY): ServerSentEvent[] {
  const bytes = encoder.encode(text);
  const parser = new SseParser();
  const events: ServerSentEvent[] = [];
  for (let at = 0; at < bytes.length; at += size) events.push(...parser.push(bytes.subarray(at, at + size)));
  return events;
}

const message = (data: string): ServerSentEvent => ({ type: "message", data });

const all = [
  "\ufeff: a comment\n\ndata: one\n\n",
  'data: {"text":"你好 👋🏽"}\r\n\r\n',
  ": ping\r\n\r\n",
  "data:no space\r\r",
  "data: first\ndata: second\r\ndata:\rid: 7\nretry: 5\n\n",
  "event: error\ndata: bad\n\n",
  'error: {"code":500}\n\n',
  "data\n\n",
  "\n\n\n",
  "data: [DONE]\n\n",
].join("");

test("comments, line ends of every kind, several data lines and named events are read as the standard has them", () => {
  expect(parse(all)).toEqual([
    message("one"),
    message('{"text":"你好 👋🏽"}'),
    message("no space"),
    message("first\nsecond\n"),
    { type: "error", data: "bad" },
    { type: "error", data: '{"code":500}' },
    message(""),
    message("[DONE]"),
  ]);
});

test("cuts at any byte change nothing", () => {
  const whole = parse(all);
  for (let size = 1; size <= 40; size += 1) expect(parse(all, size)).toEqual(whole);
});

test("an event is out with its blank line, not before and not later", () => {
  const parser = new SseParser();
  expect(parser.push(encoder.encode("data: a\n"))).toEqual([]);
  expect(parser.push(encoder.encode("\n"))).toEqual([message("a")]);
  expect(parser.push(encoder.encode("data: b\r"))).toEqual([]);
  expect(parser.push(encoder.encode("\r"))).toEqual([message("b")]);
  expect(parser.push(encoder.encode("\ndata: c\n\n"))).toEqual([message("c")]);
});

test("what has no blank line at the end of the stream is given then", () => {
  const parser = new SseParser();
  expect(parser.push(encoder.encode("data: [DONE]"))).toEqual([]);
  expect(parser.end()).toEqual(message("[DONE]"));
  const empty = new SseParser();
  empty.push(encoder.encode("data: a\n\n"));
  expect(empty.end()).toBeUndefined();
});

test("an event without an end is refused before it fills the memory, in one line or in many", () => {
  for (const line of ["data: aaaaaaaaaa", "data: aaaaaaaaaa\n"]) {
    const parser = new SseParser(1_000);
    const pushMuch = (): void => {
      for (let at = 0; at < 200; at += 1) parser.push(encoder.encode(line));
    };
    expect(pushMuch).toThrow("an event without an end");
  }
});
