// Measures what the node's scheduler costs a step: its loop over an engine that computes nothing, in no time.
import { setImmediate as turnOfTheLoop } from "node:timers/promises";
import type { GenerateOptions } from "../inference-node/runtimes/llama/protocol.ts";
import { StateStore } from "../inference-node/runtimes/llama/state-store.ts";
import { StepLoop } from "../inference-node/runtimes/llama/step-loop.ts";
import { fakeEngine } from "../inference-node/runtimes/llama/testing/fake-engine.ts";
import { counted, row, short, withRange } from "./format.ts";
import { Histogram } from "./histogram.ts";
import { Progress } from "./progress.ts";
import type { ScenarioContext } from "./scenario.ts";
import { type Spread, spreadOf } from "./statistics.ts";
import { BenchError } from "./target.ts";

/** Steps that are measured in a round, after so many that only warm the code up. */
const steps = 2000;
const warmSteps = 500;
const promptTokens = 64;
/** Prompts and answers are made of tokens 1 to this: the fake engine knows them, and none ends a generation. */
const tokenMax = 50;

/** What a step may cost with so many running sequences, in milliseconds. */
export function stepBoundMs(sequences: number): number {
  return 0.2 + 0.05 * sequences;
}

/** What the steps of one round cost. */
interface MeasuredSteps {
  /** From one decode to the next. */
  readonly times: Histogram;
  /** Processor time of a step, in milliseconds: what else the machine does is not in it, collecting garbage is. */
  readonly cpuMsMean: number;
}

export interface StepCost {
  readonly sequences: number;
  /** Milliseconds of a step over the rounds; the bound holds for the processor time. */
  readonly cpuMsMean: Spread;
  readonly p50Ms: Spread;
  readonly p99Ms: Spread;
  readonly boundMs: number;
}

/** Counts steps in which all sequences decode, and times them from one decode to the next. */
class StepTimer {
  readonly times = new Histogram();
  readonly #sequences: number;
  readonly #measured: number;
  #warmLeft: number;
  #previous = Number.NaN;
  #cpu = process.cpuUsage();
  cpuMsMean = Number.NaN;

  constructor(sequences: number, measured: number, warm: number) {
    this.#sequences = sequences;
    this.#measured = measured;
    this.#warmLeft = warm;
  }

  decodes(batch: readonly { readonly tokens: number }[]): void {
    const isFull = batch.length === this.#sequences && batch.every(({ tokens }) => tokens === 1);
    if (!isFull || this.times.count === this.#measured) return;
    const now = performance.now();
    if (this.#warmLeft > 0) this.#warmLeft -= 1;
    else if (Number.isNaN(this.#previous)) {
      this.#previous = now;
      this.#cpu = process.cpuUsage();
    } else {
      this.times.record(now - this.#previous);
      this.#previous = now;
      if (this.times.count < this.#measured) return;
      const { user, system } = process.cpuUsage(this.#cpu);
      this.cpuMsMean = (user + system) / 1000 / this.#measured;
    }
  }
}

/** Runs so many steps with all sequences decoding, after so many that are not counted. */
export async function measureSteps(sequences: number, measured: number, warm: number): Promise<MeasuredSteps> {
  const timer = new StepTimer(sequences, measured, warm);
  const { engine, context } = fakeEngine({
    sequences,
    contextLength: promptTokens + warm + measured + sequences + 1024,
    batchTokens: 512,
    onStep: (batch) => timer.decodes(batch),
    next: (tokens) => 1 + (tokens.length % tokenMax),
  });
  const warn = (): void => undefined;
  const store = new StateStore({
    context,
    contextLength: engine.info.contextLength,
    dir: "",
    bytesMax: 0,
    spill: undefined,
    warn,
  });
  const ended = Promise.withResolvers<void>();
  let left = sequences;
  const loop = new StepLoop({
    engine,
    store,
    emit: (events) => {
      for (const { type } of events) {
        if (type === "failed") ended.reject(new BenchError("the scheduler failed a sequence"));
        if (type === "finished") left -= 1;
      }
      if (left === 0) ended.resolve();
    },
    onFatal: ended.reject,
  });
  // The first ones decode while the last prompts come in, so that they need some tokens more.
  for (let key = 0; key < sequences; key++) loop.add(key, optionsOf(key, warm + measured + sequences + 512));
  await ended.promise;
  const { times, cpuMsMean } = timer;
  if (times.count < measured) throw new BenchError(`only ${times.count} steps had all ${sequences} sequences in them`);
  return { times, cpuMsMean };
}

/** A request as most are: free text at a temperature, with a stop string, whose prompt may be shared. */
function optionsOf(key: number, maxTokens: number): GenerateOptions {
  return {
    requestId: `step-cost-${key}`,
    tokens: Uint32Array.from({ length: promptTokens }, (_, index) => 1 + ((key * 7 + index) % tokenMax)),
    maxTokens,
    limitedByContext: false,
    sampling: {
      temperature: 0.7,
      topP: 0.95,
      topK: 40,
      minP: 0.05,
      presencePenalty: 0,
      frequencyPenalty: 0,
      repetitionPenalty: 1,
      seed: key,
      logitBias: [],
      ignoreEos: false,
      minTokens: 0,
    },
    visibleTokens: [],
    stopStrings: ["\n\nUser:"],
    stopTokenIds: [],
    logprobs: undefined,
    promptLogprobs: undefined,
    prefixSalt: "bench",
    guessTokensMax: 0,
    deterministic: false,
  };
}

const columns = ["sequences", "µs of CPU a step", "bound", "µs p50", "µs p99"];
const widths = [11, 26, 8, 26, 26];

/** Runs the scenario; it needs no target. */
export async function runStepCost(context: Omit<ScenarioContext, "targets" | "prompt">): Promise<void> {
  const { options, print, progressOutput, signal, findings } = context;
  const progress = new Progress(progressOutput, options.streams.length * options.rounds);
  print("");
  print(row(columns, widths));
  try {
    for (const sequences of options.streams) {
      progress.stage(counted(sequences, "sequence"));
      const rounds: MeasuredSteps[] = [];
      for (let round = 0; round < options.rounds; round++) {
        // Nothing else of this process runs during a round, so that a signal is heard only between two.
        await turnOfTheLoop();
        signal.throwIfAborted();
        rounds.push(await measureSteps(sequences, steps, warmSteps));
        progress.advance();
      }
      const cost = summarizeSteps(sequences, rounds);
      findings.stepCost.push(cost);
      progress.clear();
      print(stepCostLine(cost));
    }
  } finally {
    progress.clear();
  }
}

function summarizeSteps(sequences: number, rounds: readonly MeasuredSteps[]): StepCost {
  return {
    sequences,
    cpuMsMean: spreadOf(rounds.map(({ cpuMsMean }) => cpuMsMean)),
    p50Ms: spreadOf(rounds.map(({ times }) => times.percentile(0.5))),
    p99Ms: spreadOf(rounds.map(({ times }) => times.percentile(0.99))),
    boundMs: stepBoundMs(sequences),
  };
}

function stepCostLine({ sequences, cpuMsMean, p50Ms, p99Ms, boundMs }: StepCost): string {
  const micro = ({ min, median, max }: Spread): Spread => ({ min: min * 1000, median: median * 1000, max: max * 1000 });
  const [cpu = "", p50 = "", p99 = ""] = [cpuMsMean, p50Ms, p99Ms].map((spread) => withRange(micro(spread)));
  return row([String(sequences), cpu, short(boundMs * 1000), p50, p99], widths);
}

/** Why the run counts as failed. */
export function stepCostFaults({ sequences, cpuMsMean, boundMs }: StepCost): string[] {
  if (cpuMsMean.median <= boundMs) return [];
  const cost = `${cpuMsMean.median.toFixed(3)} ms of processor time, above ${boundMs.toFixed(2)} ms`;
  return [`a step with ${counted(sequences, "sequence")} costs ${cost}`];
}
