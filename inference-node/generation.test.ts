// Output text: whole characters only, nothing of a stop string, nothing lost.
import { describe, expect, it } from "vitest";
import { OutputText } from "./generation.ts";

const encoder = new TextEncoder();

/** Feeds chunks of bytes and gives what was shown after each, then after the end. */
function feed(stops: string[], chunks: Uint8Array[]): { shown: string[]; text: string; stop: string | undefined } {
  const output = new OutputText(stops);
  const shown: string[] = [];
  for (const chunk of chunks) {
    const piece = output.push(chunk);
    shown.push(piece.text);
    if (piece.stop !== undefined) return { shown, text: shown.join(""), stop: piece.stop };
  }
  const rest = output.end();
  shown.push(rest.text);
  return { shown, text: shown.join(""), stop: rest.stop };
}

const chars = (text: string): Uint8Array[] => [...text].map((char) => encoder.encode(char));
const bytes = (text: string): Uint8Array[] => [...encoder.encode(text)].map((byte) => Uint8Array.of(byte));

describe("characters", () => {
  it("shows a character only when its last byte is there", () => {
    expect(feed([], bytes("é👋")).shown).toEqual(["", "é", "", "", "", "👋", ""]);
  });

  it("gives the same text wherever the bytes are cut", () => {
    const text = "naïve 你好 👋🏽 ⟨ok⟩";
    const all = encoder.encode(text);
    for (let cut = 0; cut <= all.length; cut++) {
      expect(feed([], [all.subarray(0, cut), all.subarray(cut)]).text).toBe(text);
    }
  });

  it("turns bytes that are no UTF-8 into U+FFFD, also at the end", () => {
    expect(feed([], [Uint8Array.of(0x61, 0xff, 0x62)]).text).toBe("a\uFFFDb");
    expect(feed([], [Uint8Array.of(0x61, 0xf0, 0x9f)]).text).toBe("a\uFFFD");
  });

  it("keeps a byte order mark that the model wrote", () => {
    expect(feed([], [encoder.encode("\uFEFFa")]).text).toBe("\uFEFFa");
  });
});

describe("stop strings", () => {
  it("ends before the stop string and shows nothing of it", () => {
    expect(feed(["END"], chars("one END two"))).toMatchObject({ text: "one ", stop: "END" });
  });

  it("never shows the beginning of a stop string before it is decided", () => {
    expect(feed(["<stop>"], chars("a<st<stop>")).shown).toEqual(["a", "", "", "", "<st", "", "", "", "", ""]);
  });

  it("shows held-back text when it turns out to be none, and at the end", () => {
    expect(feed(["<stop>"], chars("a<stay"))).toMatchObject({ text: "a<stay", stop: undefined });
    expect(feed(["<stop>"], chars("a<sto"))).toMatchObject({ text: "a<sto", stop: undefined });
  });

  it("finds a stop string across tokens however it is cut, with overlapping beginnings", () => {
    const text = "aabaabaaab!";
    for (let cut = 0; cut <= text.length; cut++) {
      const result = feed(["aabaaab"], [encoder.encode(text.slice(0, cut)), encoder.encode(text.slice(cut))]);
      expect(result).toMatchObject({ text: "aab", stop: "aabaaab" });
    }
  });

  it("takes the first stop string to complete, and the longest of those that complete together", () => {
    expect(feed(["long stop", "stop"], chars("a long stop"))).toMatchObject({ text: "a ", stop: "long stop" });
    expect(feed(["abcd", "bc"], chars("xabcd"))).toMatchObject({ text: "xa", stop: "bc" });
  });

  it("finds a stop string that is not ASCII, cut inside a character", () => {
    expect(feed(["。结"], bytes("你好。结束"))).toMatchObject({ text: "你好", stop: "。结" });
  });

  it("agrees with a plain search on random texts of few letters", () => {
    let state = 1;
    const next = (n: number): number => {
      state = (state * 48271) % 2147483647;
      return state % n;
    };
    const word = (length: number): string => Array.from({ length }, () => "ab"[next(2)]).join("");
    for (let round = 0; round < 1000; round++) {
      const text = word(1 + next(30));
      const stop = word(1 + next(5));
      const at = text.indexOf(stop);
      expect(feed([stop], chars(text)).text, `${text} / ${stop}`).toBe(at < 0 ? text : text.slice(0, at));
    }
  });

  // Looking from the start again for each character would take minutes here, and time out.
  it("looks at each character a bounded number of times, also for hostile stop strings", () => {
    const output = new OutputText(Array.from({ length: 16 }, (_, i) => `${"a".repeat(4000)}${i}`));
    const chunk = encoder.encode("a".repeat(1000));
    let shown = 0;
    for (let i = 0; i < 200; i++) shown += output.push(chunk).text.length;
    expect(shown).toBe(200 * 1000 - 4000);
  });
});

describe("marks", () => {
  it("come with the text that their token is part of", () => {
    const output = new OutputText<string>(["END"]);
    expect(output.push(encoder.encode("one "), "t1").marks).toEqual(["t1"]);
    expect(output.push(encoder.encode("EN"), "t2").marks).toEqual([]);
    expect(output.push(encoder.encode("T"), "t3").marks).toEqual(["t2", "t3"]);
  });

  it("of tokens inside the stop string are dropped, of those that reach into it are kept", () => {
    const output = new OutputText<string>(["END"]);
    output.push(encoder.encode("a"), "t1");
    expect(output.push(encoder.encode("bE"), "t2").marks).toEqual([]);
    const last = output.push(encoder.encode("ND"), "t3");
    expect(last).toEqual({ text: "", marks: ["t2"], stop: "END" });
  });

  it("all come out by the end when nothing stopped the text", () => {
    const output = new OutputText<number>(["zzz"]);
    const seen: number[] = [];
    for (let i = 0; i < 20; i++) seen.push(...output.push(encoder.encode(i % 3 === 0 ? "z" : "y"), i).marks);
    seen.push(...output.end().marks);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});
