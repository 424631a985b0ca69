// What the command line of the benchmark means; throws sentences, reads no files.
import { decimal, integer, integers, readFlags, type StringFlag, UsageError, type Values } from "./command-line.ts";
import { beginMsMax, chunksMax, scriptOf } from "./slow-script.ts";
import { measuresRunning, readTargets, type Surroundings, type TargetSpec } from "./target-spec.ts";

/** What is measured: speed by numbers of streams, unless told otherwise. */
const scenarios = ["levels", "soak", "turns", "stall", "slow-readers", "step-cost"] as const;
type Scenario = (typeof scenarios)[number];
/** Those that are named by `--scenario`; the others are told by `--requests` and `--turns`. */
const namedScenarios = ["stall", "slow-readers", "step-cost"] as const;

export interface BenchOptions {
  readonly scenario: Scenario;
  /** Undefined when the scenario needs none. */
  readonly target: TargetSpec | undefined;
  readonly against: TargetSpec | undefined;
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
  readonly ratioMax: number | undefined;
  readonly loop: { readonly threads: number; readonly context: number | undefined; readonly batchTokens: number };
  readonly turns: number;
  readonly stall: StallOptions;
  readonly slowReaders: SlowReadersOptions;
  readonly soak: SoakOptions;
  /** Processes whose memory is watched. */
  readonly watched: { readonly pids: readonly number[]; readonly treePids: readonly number[] };
  readonly metrics: { readonly url: string; readonly key: string | undefined } | undefined;
  readonly out: string | undefined;
}

interface StallOptions {
  readonly quietTokens: number;
  readonly longPromptTokens: number;
}

interface SlowReadersOptions {
  readonly holdMs: number;
  readonly chunkDelayMs: number;
  /** Over so long the streams begin; within the minute in which they must have begun. */
  readonly spreadMs: number;
  /** Lag from which the run counts as failed, in milliseconds. */
  readonly lagMaxMs: number;
}

interface SoakOptions {
  readonly requests: number;
  /** Growth from which the run counts as failed, in per cent. */
  readonly growthMaxPercent: number;
}

/** Flags that mean something in these scenarios only; the sentence names what they need. */
const ownFlags: readonly (readonly [needs: string, scenarios: readonly Scenario[], names: readonly StringFlag[]])[] = [
  ["--scenario stall", ["stall"], ["quiet-tokens", "long-prompt-tokens"]],
  ["--scenario slow-readers", ["slow-readers"], ["hold", "chunk-delay", "spread", "metrics", "metrics-key", "lag-max"]],
  ["--requests", ["soak"], ["rss-growth-max"]],
  ["--requests or --scenario slow-readers", ["soak", "slow-readers"], ["rss", "rss-tree"]],
];

const defaultStreams: Readonly<Record<Scenario, string>> = {
  levels: "1,4,8,16",
  soak: "1,4,8,16",
  turns: "1",
  stall: "1",
  "slow-readers": "1000",
  "step-cost": "1,4,8,16,64",
};

/** Reads the command line; "help" when it asks for help. Throws a UsageError. */
export function readOptions(args: readonly string[], surroundings: Surroundings): BenchOptions | "help" {
  const values = readFlags(args);
  if (values.help) return "help";
  const scenario = readScenario(values);
  const options = {
    scenario,
    ...readTargets(values, surroundings, scenario),
    streams: integers(values, "streams", [1, 1024], 32, defaultStreams[scenario]),
    ...readWorkload(values, scenario, surroundings),
    loop: {
      threads: integer(values, "loop-threads", 1, 1024, String(Math.max(1, surroundings.cores - 1))),
      context: values["loop-context"] === undefined ? undefined : integer(values, "loop-context", 1, 10_000_000),
      batchTokens: integer(values, "loop-batch", 1, 65_536),
    },
    ...readScenarioOptions(values),
    watched: readWatched(values, scenario, surroundings),
    out: values.out,
  };
  refuseContradictions(options, values);
  return options;
}

function readScenarioOptions(values: Values): Pick<BenchOptions, "turns" | "stall" | "slowReaders" | "soak"> {
  return {
    turns: integer(values, "turns", 1, 16, "1"),
    stall: {
      quietTokens: integer(values, "quiet-tokens", 8, 10_000, "128"),
      longPromptTokens: integer(values, "long-prompt-tokens", 1, 1_000_000, "4000"),
    },
    slowReaders: {
      holdMs: integer(values, "hold", 1, 3600, "45") * 1000,
      chunkDelayMs: integer(values, "chunk-delay", 1, 60_000, "1000"),
      spreadMs: integer(values, "spread", 0, beginMsMax / 2, "0"),
      lagMaxMs: decimal(values, "lag-max", 0, 60_000, "20"),
    },
    soak: {
      requests: integer(values, "requests", 3, 1_000_000, "3000"),
      growthMaxPercent: decimal(values, "rss-growth-max", 0, 1000, "5"),
    },
  };
}

/** The processes that are named; of slow streams of the node that runs here, that one unless others are. */
function readWatched(values: Values, scenario: Scenario, { running }: Surroundings): BenchOptions["watched"] {
  const named = (name: "rss" | "rss-tree"): number[] =>
    values[name] === undefined ? [] : integers(values, name, [1, 4_194_304], 64);
  const watched = { pids: named("rss"), treePids: named("rss-tree") };
  const isNamed = values.rss !== undefined || values["rss-tree"] !== undefined;
  if (isNamed || scenario !== "slow-readers" || !measuresRunning(values) || running?.nodePid === undefined)
    return watched;
  return { pids: [], treePids: [running.nodePid] };
}

function readScenario(values: Values): Scenario {
  const told: Scenario[] = [];
  if (values.scenario !== undefined) {
    const named = namedScenarios.find((name) => name === values.scenario);
    if (named === undefined) {
      throw new UsageError(`--scenario takes ${namedScenarios.join(", ")}, not "${values.scenario}"`);
    }
    told.push(named);
  }
  if (values.requests !== undefined) told.push("soak");
  if (values.turns !== undefined && values.turns !== "1") told.push("turns");
  if (told.length > 1) throw new UsageError("give one of --scenario, --turns and --requests");
  const scenario = told[0] ?? "levels";
  for (const [needs, within, names] of ownFlags) {
    const lonely = names.find((name) => values[name] !== undefined);
    if (lonely !== undefined && !within.includes(scenario)) throw new UsageError(`--${lonely} needs ${needs}`);
  }
  return scenario;
}

/** What is asked, how often and how long it may take. */
function readWorkload(values: Values, scenario: Scenario, { now }: Surroundings) {
  const promptTokens = integer(values, "prompt-tokens", 1, 1_000_000);
  const bound = (name: "ratio-min" | "ratio-max"): number | undefined =>
    values[name] === undefined ? undefined : decimal(values, name, 0, 1000);
  return {
    rounds: integer(values, "rounds", 1, 1000),
    warmup: integer(values, "warmup", 0, 100),
    requestsPerStream: integer(values, "per-stream", 1, 1000),
    // The stream beside a long prompt is hung up on when that is in; until then it must not end.
    maxTokens: integer(values, "max-tokens", 1, 100_000, scenario === "stall" ? "2048" : "64"),
    promptTokens,
    sharedPrefix: integer(values, "shared-prefix", 0, promptTokens),
    temperature: decimal(values, "temperature", 0, 2),
    ignoreEos: values["ignore-eos"],
    seed: values.seed === undefined ? now >>> 0 : integer(values, "seed", 0, 0xffffffff),
    pauseMs: integer(values, "pause", 0, 600_000),
    timeoutMs: integer(values, "timeout", 1, 86_400) * 1000,
    ratioMin: bound("ratio-min"),
    ratioMax: bound("ratio-max"),
  };
}

/** Throws a UsageError when options are given that the scenario would have to ignore, or that it can't keep. */
function refuseContradictions(options: BenchOptions, values: Values): void {
  const { scenario, against, sharedPrefix, ratioMin, ratioMax } = options;
  const hasPrompts = scenario === "levels" || scenario === "soak";
  if (sharedPrefix > 0 && !hasPrompts) throw new UsageError("--shared-prefix has no meaning in this scenario");
  if (options.requestsPerStream > 1 && !hasPrompts)
    throw new UsageError("--per-stream has no meaning in this scenario");
  if (ratioMin !== undefined && scenario !== "levels") {
    throw new UsageError("--ratio-min bounds tokens per second, which this scenario does not measure");
  }
  const hasLatencyRatio = scenario === "turns" || scenario === "stall";
  const comparesFirstTokens = scenario === "levels" && sharedPrefix > 0 && against !== undefined;
  if (ratioMax !== undefined && !hasLatencyRatio && !comparesFirstTokens) {
    throw new UsageError("--ratio-max needs --turns, --scenario stall, or --shared-prefix with --against");
  }
  if (scenario === "stall") refuseStall(options, values);
  if (scenario === "slow-readers") refuseSlowReaders(options);
}

function refuseStall({ stall, maxTokens }: BenchOptions, values: Values): void {
  if (values.streams !== undefined) throw new UsageError("--scenario stall runs one stream: leave --streams out");
  if (maxTokens > stall.quietTokens) return;
  throw new UsageError("--max-tokens must be above --quiet-tokens: the stream has to go on while the prompt comes in");
}

function refuseSlowReaders({ slowReaders, timeoutMs, streams }: BenchOptions): void {
  if (streams.length > 1) throw new UsageError("--scenario slow-readers takes one --streams");
  if (slowReaders.holdMs + beginMsMax > timeoutMs) {
    throw new UsageError("--hold must leave a minute below --timeout, in which the streams begin");
  }
  const { chunks } = scriptOf(slowReaders);
  if (chunks > chunksMax) {
    throw new UsageError(
      `a stream has at most ${chunksMax} chunks, not ${chunks}: raise --chunk-delay or lower --hold`,
    );
  }
}
