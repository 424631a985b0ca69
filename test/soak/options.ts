// What the command line of the soak means; throws sentences, reads no files.
import { parseArgs } from "node:util";

/** A wrong command line; the message is a sentence. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface SoakOptions {
  readonly seed: number;
  /** Of mixed traffic. */
  readonly durationMs: number;
  readonly streams: number;
  /** Mean milliseconds between two kills; 0 kills nothing. */
  readonly killEveryMs: number;
  /** Of the kills, those that stop the process instead; 0 to 1. */
  readonly hangShare: number;
  /** Of the requests, those whose client hangs up; 0 to 1. */
  readonly leaveShare: number;
  /** Documents by schemas that must have come in all. */
  readonly documents: number;
  readonly growthMaxPercent: number;
  /** Undefined is the node's own choice. */
  readonly sequences: number | undefined;
  /** Milliseconds that any request may take. */
  readonly requestTimeoutMs: number;
}

export const usage = `npm run soak -- [options]

  --minutes 10       of mixed traffic; the checks and documents after it take their own time
  --seed N           makes the requests of an earlier run again
  --streams 24       clients at a time; now and then as many come at once on top
  --kill-every 45    mean seconds between two kills of the engine; 0 kills nothing
  --hang-share 0.2   of these, how many stop the process instead, so that it hangs
  --leave-share 0.15 of the requests, how many are left by their client at a random moment
  --documents 1000   documents by JSON Schemas that must be valid, those of the traffic included
  --rss-growth-max 5 per cent that node, workerd or engine may grow
  --json FILE        where everything that was found goes, as JSON
`;

const flags = {
  help: { type: "boolean", short: "h" },
  minutes: { type: "string", default: "10" },
  seed: { type: "string" },
  streams: { type: "string", default: "24" },
  "kill-every": { type: "string", default: "45" },
  "hang-share": { type: "string", default: "0.2" },
  "leave-share": { type: "string", default: "0.15" },
  documents: { type: "string", default: "1000" },
  "rss-growth-max": { type: "string", default: "5" },
  json: { type: "string" },
} as const;

const requestTimeoutMs = 180_000;

/** Reads the command line; "help" when it asks for help. `now` makes the seed unless one is named. Throws a UsageError. */
export function readOptions(
  args: readonly string[],
  now: number,
): { soak: SoakOptions; json: string | undefined } | "help" {
  const values = parse(args);
  if (values.help) return "help";
  const seed = values.seed === undefined ? now % 2 ** 32 : number("seed", values.seed, 0, 2 ** 32 - 1, true);
  const soak = {
    seed,
    durationMs: number("minutes", values.minutes, 0.1, 1440) * 60_000,
    streams: number("streams", values.streams, 1, 256, true),
    killEveryMs: number("kill-every", values["kill-every"], 0, 86_400) * 1000,
    hangShare: number("hang-share", values["hang-share"], 0, 1),
    leaveShare: number("leave-share", values["leave-share"], 0, 1),
    documents: number("documents", values.documents, 0, 1_000_000, true),
    growthMaxPercent: number("rss-growth-max", values["rss-growth-max"], 0, 1000),
    sequences: undefined,
    requestTimeoutMs,
  };
  return { soak, json: values.json };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(". ")[0]?.replace(/\.$/, "")}.`);
  }
}

function number(name: string, text: string, min: number, max: number, whole = false): number {
  const value = (whole ? /^\d+$/ : /^\d+(\.\d+)?$/).test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} takes a ${whole ? "whole " : ""}number from ${min} to ${max}, not "${text}".`);
}
