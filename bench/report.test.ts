// Tables and notes from hand-made rounds.
import { describe, expect, it } from "vitest";
import type { Level } from "./compare.ts";
import { firstTokensLine, levelLines, levelNotes, soakLines, summarizeLevel, summarizeSoak } from "./report.ts";
import { RoundRecord } from "./target.ts";

/** A round of one request: first token after `ttftMs`, then one every `itlMs`. */
function roundOf(tokens: number, ttftMs: number, itlMs: number, promptTokens = 128): RoundRecord {
  const record = new RoundRecord();
  record.started(1000);
  let at = 1000 + ttftMs;
  record.chunk(at, 1000, true);
  for (let token = 1; token < tokens; token++) {
    record.chunk(at + itlMs, at, false);
    at += itlMs;
  }
  record.succeeded({ promptTokens, completionTokens: tokens, counted: "usage" });
  return record;
}

const level: Level = {
  streams: 4,
  records: [
    [roundOf(11, 100, 10), roundOf(11, 300, 10), roundOf(11, 200, 10)],
    [roundOf(11, 50, 10), roundOf(11, 200, 10), roundOf(11, 50, 10)],
  ],
};

describe("summarizeLevel", () => {
  it("gives minimum, median and maximum of each figure over the rounds", () => {
    const [first] = summarizeLevel(level).targets;
    expect(first?.figures.ttftP50Ms).toEqual({ min: 100, median: 200, max: 300 });
    expect(first?.figures.itlP50Ms.median).toBe(10);
    expect(first?.figures.tokensPerSecond).toMatchObject({ min: 11 / 0.4, max: 11 / 0.2 });
    expect(first?.figures.tokensPerSecond.median).toBeCloseTo(11 / 0.3, 10);
    expect(first?.rounds).toHaveLength(3);
    expect(first).toMatchObject({ requests: 3, promptTokensMean: 128, completionTokensMean: 11, tokensPerChunk: 1 });
  });

  it("compares the targets round by round", () => {
    const { ratio } = summarizeLevel(level);
    // 0.15 s against 0.2 s, 0.3 against 0.4, 0.15 against 0.3, of the same tokens.
    expect(ratio?.min).toBeCloseTo(0.5, 10);
    expect(ratio?.median).toBeCloseTo(0.75, 10);
    expect(ratio?.max).toBeCloseTo(0.75, 10);
  });

  it("has no ratio with one target", () => {
    expect(summarizeLevel({ streams: 1, records: [[roundOf(3, 10, 1)]] }).ratio).toBeUndefined();
  });
});

describe("levelLines", () => {
  it("shows streams, both targets and the ratio", () => {
    const lines = levelLines(summarizeLevel(level)).map((line) => line.replace(/ +/g, " "));
    expect(lines).toEqual([
      "4 A 36.7 (27.5-55.0) 200 (100-300) / 200 10.0 (10.0-10.0) / 10.0 0",
      " B 73.3 (36.7-73.3) 50.0 (50.0-200) / 50.0 10.0 (10.0-10.0) / 10.0 0",
      " A/B 0.75 (0.50-0.75)",
    ]);
  });

  it("shows a dash for what there is not", () => {
    const failed = new RoundRecord();
    failed.failed("HTTP 500: x");
    const [line] = levelLines(summarizeLevel({ streams: 1, records: [[failed]] }));
    expect(line?.replace(/ +/g, " ")).toBe("1 A - - / - - / - 1");
  });
});

describe("firstTokensLine", () => {
  it("tells until when all requests had their first token, and the ratio round by round", () => {
    const late = roundOf(2, 100, 1);
    late.started(1050);
    late.chunk(1400, 1050, true);
    const { firstTokensRatio, ...rest } = summarizeLevel({ streams: 2, records: [[late], [roundOf(2, 800, 1)]] });
    expect(firstTokensRatio?.median).toBe(0.5);
    expect(firstTokensLine({ ...rest, firstTokensRatio }).trim()).toBe(
      "until all had their first token, ms: A 400 (400-400), B 800 (800-800), A/B 0.50 (0.50-0.50)",
    );
  });

  it("has no time for a round in which one never came", () => {
    const failed = roundOf(2, 100, 1);
    failed.failed("HTTP 500: x");
    expect(firstTokensLine(summarizeLevel({ streams: 2, records: [[failed]] })).trim()).toBe(
      "until all had their first token, ms: A -",
    );
  });
});

describe("levelNotes", () => {
  it("is silent when both did the same work", () => {
    expect(levelNotes(summarizeLevel(level))).toEqual([]);
  });

  it("warns when prompts or answers differ in length, since the ratio then means little", () => {
    const uneven = { streams: 4, records: [[roundOf(11, 50, 10, 128)], [roundOf(8, 50, 10, 100)]] };
    expect(levelNotes(summarizeLevel(uneven))).toEqual([
      "at 4 the prompts had 128 and 100 tokens: A and B did not do the same work",
      "at 4 the answers had 11.0 and 8.00 tokens: A and B did not do the same work",
    ]);
  });

  it("tells the reasons of failures, added up over the rounds, and of tokens that were guessed", () => {
    const first = roundOf(2, 10, 1);
    first.failed("HTTP 500: x");
    const second = roundOf(2, 10, 1);
    second.failed("HTTP 500: x");
    second.succeeded({ promptTokens: undefined, completionTokens: 2, counted: "chunks" });
    expect(levelNotes(summarizeLevel({ streams: 2, records: [[first, second]] }))).toEqual([
      "A at 2: 2 x HTTP 500: x",
      "A at 2: sent no usage, so chunks were counted as tokens",
    ]);
  });
});

describe("soakLines", () => {
  it("shows each process with its growth, and those that came late as such", () => {
    const steady = Array.from({ length: 301 }, (_, index) => ({
      request: index,
      rssBytes: index > 290 ? 104e6 : 100e6,
    }));
    const series = [
      { pid: 12, name: "node main.ts", points: steady },
      { pid: 99, name: "workerd", points: [{ request: 299, rssBytes: 50e6 }] },
    ];
    const summary = summarizeSoak({ record: roundOf(2, 1, 1), series, windowStart: 101 }, 4, 300);
    const lines = soakLines(summary).map((line) => line.trim().replace(/ +/g, " "));
    expect(lines).toEqual([
      "memory from request 101 to the last:",
      "12 node main.ts 100.0 MB -> 102.0 MB, peak 104.0 MB +2.0 %",
      "99 workerd - -> 50.0 MB, peak 50.0 MB came or went in the window",
    ]);
  });
});
