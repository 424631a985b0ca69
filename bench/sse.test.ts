// Event streams are taken apart alike wherever they are cut.
import { describe, expect, it } from "vitest";
import { SseParser } from "./sse.ts";

function parse(...pieces: string[]): string[] {
  const seen: string[] = [];
  const parser = new SseParser((data) => seen.push(data));
  for (const piece of pieces) parser.push(piece);
  return seen;
}

describe("SseParser", () => {
  it("gives the data of each event and drops comments, names and ids", () => {
    expect(parse(': ping\n\nevent: x\nid: 7\ndata: {"a":1}\n\ndata: [DONE]\n\n')).toEqual(['{"a":1}', "[DONE]"]);
  });

  it("gives the same events wherever the stream is cut", () => {
    const whole = "data: one\n\n: ping\n\ndata: two\r\n\r\ndata: three\rdata: four\r\rdata:five\n\n";
    const expected = ["one", "two", "three\nfour", "five"];
    for (let cut = 0; cut <= whole.length; cut++) {
      expect(parse(whole.slice(0, cut), whole.slice(cut)), `cut at ${cut}`).toEqual(expected);
    }
    expect(parse(...whole)).toEqual(expected);
  });

  it("takes one space after the colon away and no more", () => {
    expect(parse("data:  x \n\n")).toEqual([" x "]);
  });

  it("joins several data lines with a line feed, empty ones too", () => {
    expect(parse("data: a\ndata\ndata: b\n\n")).toEqual(["a\n\nb"]);
  });

  it("gives nothing for an event without data or one that never ends", () => {
    expect(parse("event: x\n\ndata: cut off\n")).toEqual([]);
  });

  it("does not take a field whose name merely begins with data", () => {
    expect(parse("database: x\n\n")).toEqual([]);
  });
});
