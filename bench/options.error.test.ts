// Each wrong command line gets one sentence.
import { expect, it } from "vitest";
import { readOptions, UsageError } from "./options.ts";

function refusal(line: string): string {
  try {
    readOptions(line.split(" ").filter(Boolean), { environment: {}, cores: 2, now: 0, running: undefined });
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error(`"${line}" was taken`);
}

it.each([
  ["", "nothing to measure"],
  ["--target ftp://a", "http: or https:"],
  ["--target http://", "is no URL"],
  ["--target http://a --streams 1,x", '--streams takes whole numbers from 1 to 1024, not "x"'],
  ["--target http://a --streams 0", '--streams takes whole numbers from 1 to 1024, not "0"'],
  ["--target http://a --streams 1,,2", "--streams"],
  [`--target http://a --streams ${Array(40).fill(1).join(",")}`, "at most 32"],
  ["--target http://a --rounds 1e3", "--rounds"],
  ["--target http://a --rounds 0", "--rounds"],
  ["--target http://a --max-tokens 0", "--max-tokens"],
  ["--target http://a --max-tokens=-1", "--max-tokens"],
  ["--target http://a --temperature hot", "--temperature takes a number from 0 to 2"],
  ["--target http://a --prompt-tokens 10 --shared-prefix 11", "--shared-prefix"],
  ["--target http://a --speed 3", "--speed"],
  ["--target http://a extra", "extra"],
  ["--target http://a --streams", "--streams"],
  ["--target http://a --key2 x", "--key2 needs --against"],
  ["--target http://a --model2 x", "--model2 needs --against"],
  ["--target http://a --ratio-min 0.9", "--ratio-min needs --against"],
  ["--target http://a --rss 1", "--rss needs --requests"],
  ["--target http://a --requests 10 --rss 0", "--rss takes whole numbers"],
  ["--target http://a --requests 10 --against http://b", "leave --against out"],
  ["--target loop --requests 10", "not the loop"],
])("refuses %j and says why", (line, sentence) => {
  expect(refusal(line)).toContain(sentence);
});
