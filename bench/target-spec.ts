// Which servers a command line names, with their keys; throws sentences, reads no files.
import { UsageError, type Values } from "./command-line.ts";

export interface ServerSpec {
  /** `server` speaks OpenAI's API, `node` is an inference node's native gRPC door. */
  readonly kind: "server" | "node";
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

export type TargetSpec = ServerSpec | LoopSpec;

/** How to reach the stack that `npm start` runs. */
export interface RunningStack {
  readonly url: string;
  readonly key: string;
  /** The node's native door, `host:port`, the URL of its other one, and what both ask for. */
  readonly node: string;
  readonly nodeWeb: string;
  readonly nodeSecret: string;
  /** Undefined while it does not run. */
  readonly nodePid: number | undefined;
}

/** What the options' defaults depend on. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly cores: number;
  /** Milliseconds since the epoch; seeds the prompts. */
  readonly now: number;
  /** The stack that `npm start` runs here, if any. */
  readonly running: RunningStack | undefined;
}

export interface TargetSpecs {
  /** Undefined when the scenario needs none. */
  readonly target: TargetSpec | undefined;
  readonly against: TargetSpec | undefined;
  readonly metrics: { readonly url: string; readonly key: string | undefined } | undefined;
}

/** Scenarios that one target alone can go through, and what stands in their sentence. */
const lonelyScenarios: Readonly<Record<string, string>> = {
  soak: "--requests drives",
  "slow-readers": "--scenario slow-readers drives",
};

/** The targets of a scenario. Throws a UsageError. */
export function readTargets(values: Values, surroundings: Surroundings, scenario: string): TargetSpecs {
  if (scenario === "step-cost") {
    const named = (["target", "against", "metrics"] as const).find((name) => values[name] !== undefined);
    if (named !== undefined) throw new UsageError(`--scenario step-cost needs no server: leave --${named} out`);
    return { target: undefined, against: undefined, metrics: undefined };
  }
  const target = readTarget(values, surroundings);
  const against = readAgainst(values, surroundings);
  const lonely = lonelyScenarios[scenario];
  if (lonely !== undefined && against !== undefined) throw new UsageError(`${lonely} one server: leave --against out`);
  const subject = lonely ?? (scenario === "turns" ? "--turns asks" : "--scenario stall asks");
  if (scenario !== "levels" && (target.kind === "loop" || against?.kind === "loop")) {
    throw new UsageError(`${subject} ${lonely === undefined ? "servers" : "a server"}, not the loop`);
  }
  return { target, against, metrics: readMetrics(values, surroundings) };
}

/** Whether the target is what `npm start` runs here. */
export function measuresRunning(values: Values): boolean {
  return values.target === undefined || values.target === "node";
}

function readTarget(values: Values, surroundings: Surroundings): TargetSpec {
  const key = values.key ?? surroundings.environment.SLUICE_BENCH_KEY;
  if (values.target !== undefined) return readSpec(values.target, key, "--key", values.model, surroundings);
  const { running } = surroundings;
  if (running === undefined) {
    throw new UsageError("nothing to measure: give --target URL, or run npm start first");
  }
  return readSpec(running.url, key ?? running.key, "--key", values.model, surroundings);
}

function readAgainst(values: Values, surroundings: Surroundings): TargetSpec | undefined {
  if (values.against !== undefined) {
    const key = values.key2 ?? surroundings.environment.SLUICE_BENCH_KEY2;
    return readSpec(values.against, key, "--key2", values.model2, surroundings);
  }
  const lonely = (["key2", "model2", "ratio-min"] as const).find((name) => values[name] !== undefined);
  if (lonely !== undefined) throw new UsageError(`--${lonely} needs --against`);
  return undefined;
}

function readMetrics(values: Values, { environment, running }: Surroundings): TargetSpecs["metrics"] {
  const key = values["metrics-key"] ?? environment.SLUICE_BENCH_METRICS_KEY;
  if (values.metrics !== undefined) return { url: urlOf(values.metrics).href, key };
  if (running === undefined || !measuresRunning(values)) return undefined;
  return { url: `${running.nodeWeb}/metrics`, key: key ?? running.nodeSecret };
}

function readSpec(
  text: string,
  key: string | undefined,
  keyFlag: string,
  model: string | undefined,
  { running }: Surroundings,
): TargetSpec {
  if (text === "loop") return { kind: "loop", model: undefined };
  if (text.startsWith("loop:") && text.length > 5) return { kind: "loop", model: text.slice(5) };
  if (text === "node") {
    if (running === undefined) throw new UsageError('"node" is the node that npm start runs, and none runs here');
    return { kind: "node", baseUrl: `http://${running.node}`, key: key ?? running.nodeSecret, keyFlag, model };
  }
  if (text.startsWith("grpc://")) {
    return { kind: "node", baseUrl: urlOf(text.replace("grpc:", "http:")).origin, key, keyFlag, model };
  }
  return { kind: "server", baseUrl: baseUrlOf(text), key, keyFlag, model };
}

/** Where a person's URL leads: `/v1` is added to a bare origin; any other path is taken as the base URL that it is. */
function baseUrlOf(text: string): string {
  const url = urlOf(text);
  const path = url.pathname.replace(/\/+$/, "");
  return url.origin + (path === "" ? "/v1" : path);
}

function urlOf(text: string): URL {
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  } catch {
    throw new UsageError(`"${text}" is no URL`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new UsageError(`"${text}" is no http: or https: URL`);
  }
  return url;
}
