// The soak's command line: its defaults, and a sentence for what is wrong.
import { expect, test } from "vitest";
import { readOptions, UsageError } from "./options.ts";

test("ten minutes, 24 streams, a kill every 45 s and 1,000 documents, with a seed from the clock", () => {
  expect(readOptions([], 2 ** 32 + 5)).toEqual({
    json: undefined,
    soak: {
      seed: 5,
      durationMs: 600_000,
      streams: 24,
      killEveryMs: 45_000,
      hangShare: 0.2,
      leaveShare: 0.15,
      documents: 1000,
      growthMaxPercent: 5,
      sequences: undefined,
      requestTimeoutMs: 180_000,
    },
  });
});

test("every option is taken", () => {
  const args =
    "--minutes 0.5 --seed 7 --streams 3 --kill-every 1.5 --hang-share 0 --leave-share 0.3 --documents 0 --rss-growth-max 8 --json a.json";
  expect(readOptions(args.split(" "), 0)).toMatchObject({
    json: "a.json",
    soak: {
      seed: 7,
      durationMs: 30_000,
      streams: 3,
      killEveryMs: 1_500,
      hangShare: 0,
      leaveShare: 0.3,
      documents: 0,
      growthMaxPercent: 8,
    },
  });
  expect(readOptions(["--help"], 0)).toBe("help");
});

test.each([
  ["--minutes 0", "--minutes takes a number from 0.1 to 1440"],
  ["--streams 2.5", "--streams takes a whole number from 1 to 256"],
  ["--seed x", "--seed takes a whole number"],
  ["--hang-share 2", "--hang-share takes a number from 0 to 1"],
  ["--minute 3", "Unknown option '--minute'."],
  ["3", "Unexpected argument '3'."],
])("%s is wrong: %s", (args, sentence) => {
  expect(() => readOptions(args.split(" "), 0)).toThrow(UsageError);
  expect(() => readOptions(args.split(" "), 0)).toThrow(sentence);
});
