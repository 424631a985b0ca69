// Each wrong command line gets one sentence.
import { expect, it } from "vitest";
import { UsageError } from "./command-line.ts";
import { readOptions } from "./options.ts";

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
  ["--target http://a --scenario fast", '--scenario takes stall, slow-readers, step-cost, not "fast"'],
  ["--target http://a --scenario stall --turns 2", "give one of --scenario, --turns and --requests"],
  ["--target http://a --turns 2 --requests 10", "give one of --scenario, --turns and --requests"],
  ["--target http://a --turns 0", "--turns takes whole numbers from 1 to 16"],
  ["--target http://a --turns 2 --against loop", "--turns asks servers, not the loop"],
  ["--target loop --scenario stall", "--scenario stall asks servers, not the loop"],
  ["--target loop --scenario slow-readers", "--scenario slow-readers drives a server, not the loop"],
  ["--target http://a --scenario slow-readers --against http://b", "leave --against out"],
  ["--target http://a --scenario step-cost", "needs no server: leave --target out"],
  ["--target http://a --quiet-tokens 10", "--quiet-tokens needs --scenario stall"],
  ["--target http://a --turns 2 --hold 10", "--hold needs --scenario slow-readers"],
  ["--target http://a --metrics http://b/metrics", "--metrics needs --scenario slow-readers"],
  ["--target http://a --rss-growth-max 3", "--rss-growth-max needs --requests"],
  ["--target http://a --scenario stall --streams 2", "leave --streams out"],
  ["--target http://a --scenario stall --max-tokens 100 --quiet-tokens 100", "--max-tokens must be above"],
  ["--target http://a --scenario slow-readers --streams 1,2", "takes one --streams"],
  ["--target http://a --scenario slow-readers --hold 300", "--hold must leave a minute below --timeout"],
  ["--target http://a --scenario slow-readers --chunk-delay 1", "at most 10000 chunks"],
  ["--target http://a --scenario slow-readers --metrics ftp://b", "http: or https:"],
  ["--target http://a --against http://b --turns 2 --ratio-min 1", "which this scenario does not measure"],
  ["--target http://a --against http://b --ratio-max 1", "--ratio-max needs --turns"],
  ["--target http://a --shared-prefix 9 --ratio-max 1", "--shared-prefix with --against"],
  ["--target http://a --turns 2 --shared-prefix 9", "--shared-prefix has no meaning in this scenario"],
  ["--target http://a --scenario stall --per-stream 2", "--per-stream has no meaning in this scenario"],
  ["--target node", "none runs here"],
  ["--target grpc://", "is no URL"],
])("refuses %j and says why", (line, sentence) => {
  expect(refusal(line)).toContain(sentence);
});
