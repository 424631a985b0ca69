// What the command line of the benchmark means; throws sentences, reads no files.
import { parseArgs } from "node:util";

/** A wrong command line; the message is a sentence without a final stop. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface ServerSpec {
  readonly kind: "server";
  readonly baseUrl: string;
  readonly key: string | undefined;
  readonly keyFlag: string;
  readonly model: string | undefined;
}

export interface LoopSpec {
  readonly kind: "loop";
  /** A .gguf file or another model reference of the node; undefined stands for the default model. */
  readonly model: string | undefined;
}

export interface BenchOptions {
  readonly target: ServerSpec | LoopSpec;
  readonly against: ServerSpec | LoopSpec | undefined;
  readonly streams: readonly number[];
  readonly rounds: number;
  readonly warmup: number;
  readonly requestsPerStream: number;
  readonly maxTokens: number;
  readonly promptTokens: number;
  readonly sharedPrefix: number;
  readonly temperature: number;
  readonly ignoreEos: boolean;
  readonly seed: number;
  readonly pauseMs: number;
  readonly timeoutMs: number;
  readonly ratioMin: number | undefined;
  readonly loop: { readonly threads: number; readonly context: number | undefined; readonly batchTokens: number };
  readonly soak: SoakOptions | undefined;
  readonly out: string | undefined;
}

export interface SoakOptions {
  readonly requests: number;
  readonly pids: readonly number[];
  readonly treePids: readonly number[];
  /** Growth from which the run counts as failed, in per cent. */
  readonly growthMaxPercent: number;
}

export const usage = `npm run bench -- --target URL [--key K] [--against URL2 [--key2 K2]] [options]

  --target URL       an OpenAI-compatible server (http://127.0.0.1:8787 or a base URL ending in /v1);
                     without it the server that npm start runs here
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
                     tokens in a prompt, and how many of them all prompts have in common
  --temperature 0    --ignore-eos (not OpenAI's; go on after the model's end)
  --seed N           makes the prompts of an earlier run again
  --pause 300        milliseconds of rest before each round
  --timeout 300      seconds that one request may take
  --ratio-min 0.9    exit 1 when a median ratio is below

  --loop-threads N   compute threads of the loop; default: cores - 1, as the node's
  --loop-context N   tokens of each of its sequences; default: what the requests need
  --loop-batch 512   tokens in one of its batches

  --requests 3000    instead: so many requests at the first number of --streams, and memory over them
  --rss PID,PID      watch the resident memory of these processes
  --rss-tree PID,... and of these with all their descendants
  --rss-growth-max 5 exit 1 when a process grows by more per cent

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
  streams: { type: "string", default: "1,4,8,16" },
  rounds: { type: "string", default: "5" },
  warmup: { type: "string", default: "1" },
  "per-stream": { type: "string", default: "1" },
  "max-tokens": { type: "string", default: "64" },
  "prompt-tokens": { type: "string", default: "128" },
  "shared-prefix": { type: "string", default: "0" },
  temperature: { type: "string", default: "0" },
  "ignore-eos": { type: "boolean", default: false },
  seed: { type: "string" },
  pause: { type: "string", default: "300" },
  timeout: { type: "string", default: "300" },
  "ratio-min": { type: "string" },
  "loop-threads": { type: "string" },
  "loop-context": { type: "string" },
  "loop-batch": { type: "string", default: "512" },
  requests: { type: "string" },
  rss: { type: "string" },
  "rss-tree": { type: "string" },
  "rss-growth-max": { type: "string", default: "5" },
  out: { type: "string" },
} as const;

/** What the options' defaults depend on. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cores: number;
  /** Milliseconds since the epoch; seeds the prompts. */
  readonly now: number;
  /** The server that `npm start` runs here, if any. */
  readonly running: { readonly url: string; readonly key: string } | undefined;
}

type Values = ReturnType<typeof readFlags>;

function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? (error.message.split(". ")[0] ?? error.message) : String(error));
  }
}

/** Reads the command line; "help" when it asks for help. Throws a UsageError. */
export function readOptions(args: readonly string[], surroundings: Surroundings): BenchOptions | "help" {
  const values = readFlags(args);
  if (values.help) return "help";
  const target = readTarget(values, surroundings);
  const against = readAgainst(values, surroundings);
  const promptTokens = integer(values, "prompt-tokens", 1, 1_000_000);
  return {
    target,
    against,
    streams: integers(values, "streams", 1, 1024, 32),
    rounds: integer(values, "rounds", 1, 1000),
    warmup: integer(values, "warmup", 0, 100),
    requestsPerStream: integer(values, "per-stream", 1, 1000),
    maxTokens: integer(values, "max-tokens", 1, 100_000),
    promptTokens,
    sharedPrefix: integer(values, "shared-prefix", 0, promptTokens),
    temperature: decimal(values, "temperature", 0, 2),
    ignoreEos: values["ignore-eos"],
    seed: values.seed === undefined ? surroundings.now >>> 0 : integer(values, "seed", 0, 0xffffffff),
    pauseMs: integer(values, "pause", 0, 600_000),
    timeoutMs: integer(values, "timeout", 1, 86_400) * 1000,
    ratioMin: values["ratio-min"] === undefined ? undefined : decimal(values, "ratio-min", 0, 1000),
    loop: {
      threads:
        values["loop-threads"] === undefined
          ? Math.max(1, surroundings.cores - 1)
          : integer(values, "loop-threads", 1, 1024),
      context: values["loop-context"] === undefined ? undefined : integer(values, "loop-context", 1, 10_000_000),
      batchTokens: integer(values, "loop-batch", 1, 65_536),
    },
    soak: readSoak(values, against, target),
    out: values.out,
  };
}

function readTarget(values: Values, { environment, running }: Surroundings): ServerSpec | LoopSpec {
  const key = values.key ?? environment.SLUICE_BENCH_KEY;
  if (values.target !== undefined) return readSpec(values.target, key, "--key", values.model);
  if (running === undefined) {
    throw new UsageError("nothing to measure: give --target URL, or run npm start first");
  }
  return readSpec(running.url, key ?? running.key, "--key", values.model);
}

function readAgainst(values: Values, { environment }: Surroundings): ServerSpec | LoopSpec | undefined {
  if (values.against !== undefined) {
    return readSpec(values.against, values.key2 ?? environment.SLUICE_BENCH_KEY2, "--key2", values.model2);
  }
  const lonely = (["key2", "model2", "ratio-min"] as const).find((name) => values[name] !== undefined);
  if (lonely !== undefined) throw new UsageError(`--${lonely} needs --against`);
  return undefined;
}

function readSpec(
  text: string,
  key: string | undefined,
  keyFlag: string,
  model: string | undefined,
): ServerSpec | LoopSpec {
  if (text === "loop") return { kind: "loop", model: undefined };
  if (text.startsWith("loop:") && text.length > 5) return { kind: "loop", model: text.slice(5) };
  return { kind: "server", baseUrl: baseUrlOf(text), key, keyFlag, model };
}

/** Where a person's URL leads: `/v1` is added to a bare origin; any other path is taken as the base URL that it is. */
function baseUrlOf(text: string): string {
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  } catch {
    throw new UsageError(`"${text}" is no URL`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new UsageError(`"${text}" is no http: or https: URL`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  return url.origin + (path === "" ? "/v1" : path);
}

function readSoak(
  values: Values,
  against: BenchOptions["against"],
  target: ServerSpec | LoopSpec,
): SoakOptions | undefined {
  if (values.requests === undefined) {
    const lonely = (["rss", "rss-tree"] as const).find((name) => values[name] !== undefined);
    if (lonely !== undefined) throw new UsageError(`--${lonely} needs --requests`);
    return undefined;
  }
  if (against !== undefined) throw new UsageError("--requests drives one server: leave --against out");
  if (target.kind === "loop") throw new UsageError("--requests drives a server, not the loop");
  return {
    requests: integer(values, "requests", 3, 1_000_000),
    pids: values.rss === undefined ? [] : integers(values, "rss", 1, 4_194_304, 64),
    treePids: values["rss-tree"] === undefined ? [] : integers(values, "rss-tree", 1, 4_194_304, 64),
    growthMaxPercent: decimal(values, "rss-growth-max", 0, 1000),
  };
}

type StringFlag = { [Name in keyof Values]-?: Values[Name] extends string | undefined ? Name : never }[keyof Values];

function integer(values: Values, name: StringFlag, min: number, max: number): number {
  return parseInteger(values[name] ?? "", name, min, max);
}

function integers(values: Values, name: StringFlag, min: number, max: number, countMax: number): number[] {
  const parts = (values[name] ?? "").split(",");
  if (parts.length > countMax) throw new UsageError(`--${name} takes at most ${countMax} numbers`);
  return parts.map((part) => parseInteger(part.trim(), name, min, max));
}

function parseInteger(text: string, name: string, min: number, max: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} takes whole numbers from ${min} to ${max}, not "${text}"`);
}

function decimal(values: Values, name: StringFlag, min: number, max: number): number {
  const text = values[name] ?? "";
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} takes a number from ${min} to ${max}, not "${text}"`);
}
