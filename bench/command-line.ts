// The flags of the benchmark: their names and defaults, the help text, and how numbers in them are read.
import { parseArgs } from "node:util";

/** A wrong command line; the message is a sentence without a final stop. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const usage = `npm run bench -- --target URL [--key K] [--against URL2 [--key2 K2]] [options]

  --target URL       an OpenAI-compatible server (http://127.0.0.1:8787 or a base URL ending in /v1);
                     without it the server that npm start runs here. "grpc://HOST:PORT" is an inference
                     node's native door (its key is the node's secret), "node" the one that npm start runs
  --key K            its API key (or SLUICE_BENCH_KEY)
  --model ID         the model to ask; default: the first of /v1/models
  --against URL2     a second server, measured in turns with the first; "loop" is the bare decode loop
                     with the default model, "loop:FILE.gguf" the same with another
  --key2, --model2   for the second (or SLUICE_BENCH_KEY2)

  --streams 1,4,8,16 concurrent streams, one measurement each
  --rounds 5         rounds of each measurement and target
  --warmup 1         rounds before them that are not counted
  --per-stream 1     requests that each stream makes in a round, one after another
  --max-tokens 64    tokens to generate in each request
  --prompt-tokens 128, --shared-prefix 0
                     tokens in a prompt, and how many of them all prompts of a round have in common;
                     those are new in each round. Also tells when all streams had their first token
  --temperature 0    --ignore-eos (not OpenAI's; go on after the model's end)
  --seed N           makes the prompts of an earlier run again
  --pause 300        milliseconds of rest before each round, and between the turns of a chat
  --timeout 300      seconds that one request may take
  --ratio-min 0.9    exit 1 when a median of A/B is below, in tokens per second
  --ratio-max 0.3    exit 1 when a median ratio of latencies is above: with --shared-prefix A/B of the time
                     until all streams have their first token, with --turns a later turn's TTFT over the
                     first's (of A), with --scenario stall p99 ITL meanwhile over quiet (of A)

  --loop-threads N   compute threads of the loop; default: cores - 1, as the node's
  --loop-context N   tokens of each of its sequences; default: what the requests need
  --loop-batch 512   tokens in one of its batches

  --turns 2          instead: chats of so many turns, and the TTFT of each turn

  --scenario stall   instead: one stream decodes while a long prompt comes in, and its ITL before and meanwhile
  --quiet-tokens 128 tokens of the stream before the long prompt is sent
  --long-prompt-tokens 4000
                     tokens of that prompt

  --scenario slow-readers
                     instead: so many streams at once (--streams 1000) of a node with the scripted runtime, for a
                     bounded time; memory and the lag of the node's event loop
  --hold 45          seconds that all of them are held
  --chunk-delay 1000 milliseconds between two chunks of a stream
  --spread 0         milliseconds over which the streams begin; 0 has their chunks come in step, the worst case
  --metrics URL      the node's /metrics, --metrics-key K its secret (or SLUICE_BENCH_METRICS_KEY);
                     default: those of the node that npm start runs, when that is the target
  --lag-max 20       exit 1 when the p99 of the event loop's lag is above, in milliseconds

  --scenario step-cost
                     instead: what the node's scheduler costs a step (--streams 1,4,8,16,64 sequences) on an engine
                     that computes nothing, against 0.2 ms + 0.05 ms a sequence; needs no server

  --requests 3000    instead: so many requests at the first number of --streams, and memory over them
  --rss PID,PID      watch the resident memory of these processes
  --rss-tree PID,... and of these with all their descendants
  --rss-growth-max 5 exit 1 when a process grows by more per cent (with --requests)

  --out FILE         where the JSON goes; default: bench/out/<time>.json
`;

const flags = {
  help: { type: "boolean", short: "h" },
  target: { type: "string" },
  key: { type: "string" },
  model: { type: "string" },
  against: { type: "string" },
  key2: { type: "string" },
  model2: { type: "string" },
  scenario: { type: "string" },
  streams: { type: "string" },
  rounds: { type: "string", default: "5" },
  warmup: { type: "string", default: "1" },
  "per-stream": { type: "string", default: "1" },
  "max-tokens": { type: "string" },
  "prompt-tokens": { type: "string", default: "128" },
  "shared-prefix": { type: "string", default: "0" },
  temperature: { type: "string", default: "0" },
  "ignore-eos": { type: "boolean", default: false },
  seed: { type: "string" },
  pause: { type: "string", default: "300" },
  timeout: { type: "string", default: "300" },
  "ratio-min": { type: "string" },
  "ratio-max": { type: "string" },
  "loop-threads": { type: "string" },
  "loop-context": { type: "string" },
  "loop-batch": { type: "string", default: "512" },
  turns: { type: "string" },
  "quiet-tokens": { type: "string" },
  "long-prompt-tokens": { type: "string" },
  hold: { type: "string" },
  "chunk-delay": { type: "string" },
  spread: { type: "string" },
  metrics: { type: "string" },
  "metrics-key": { type: "string" },
  "lag-max": { type: "string" },
  requests: { type: "string" },
  rss: { type: "string" },
  "rss-tree": { type: "string" },
  "rss-growth-max": { type: "string" },
  out: { type: "string" },
} as const;

export type Values = ReturnType<typeof readFlags>;

/** Flags that take a text, as `parseArgs` gives them. */
export type StringFlag = {
  [Name in keyof Values]-?: Values[Name] extends string | undefined ? Name : never;
}[keyof Values];

/** Splits the command line into its flags. Throws a UsageError. */
export function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? (error.message.split(". ")[0] ?? error.message) : String(error));
  }
}

/** A whole number within its bounds; `fallback` when the flag was not given. Throws a UsageError. */
export function integer(values: Values, name: StringFlag, min: number, max: number, fallback = ""): number {
  return parseInteger(values[name] ?? fallback, name, min, max);
}

/** Whole numbers with commas between them. Throws a UsageError. */
export function integers(
  values: Values,
  name: StringFlag,
  [min, max]: readonly [number, number],
  countMax: number,
  fallback = "",
): number[] {
  const parts = (values[name] ?? fallback).split(",");
  if (parts.length > countMax) throw new UsageError(`--${name} takes at most ${countMax} numbers`);
  return parts.map((part) => parseInteger(part.trim(), name, min, max));
}

function parseInteger(text: string, name: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} takes whole numbers from ${min} to ${max}, not "${text}"`);
}

/** A number within its bounds; `fallback` when the flag was not given. Throws a UsageError. */
export function decimal(values: Values, name: StringFlag, min: number, max: number, fallback = ""): number {
  const text = values[name] ?? fallback;
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} takes a number from ${min} to ${max}, not "${text}"`);
}
