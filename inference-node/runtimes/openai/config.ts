// Reads from the environment where an existing engine is and how it is to be used.

import { Capability } from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import { ConfigError, type Environment, integer, oneOf } from "../../env-values.ts";
import { readAddress, type UpstreamAddress } from "./address.ts";
import { FLAVORS, type FlavorName } from "./flavor.ts";

/** A model of the engine and what requests call it. */
export interface ServedName {
  readonly id: string;
  readonly upstreamId: string;
}

export interface UpstreamTimeouts {
  /** Most patience of the start with an engine that is still loading. */
  readonly startMs: number;
  readonly connectMs: number;
  /** From the request to the first byte of its answer; queue and prefill of the engine lie within. */
  readonly firstByteMs: number;
  /** Between two pieces of an answer. */
  readonly idleMs: number;
}

export interface OpenAiConfig {
  readonly address: UpstreamAddress;
  /** Sent as a bearer token; never logged. */
  readonly key: string | undefined;
  /** Undefined serves all that the engine lists. */
  readonly models: readonly ServedName[] | undefined;
  readonly flavor: FlavorName | "auto";
  /** In place of what is found out about the engine. */
  readonly capabilities: readonly Capability[] | undefined;
  readonly timeouts: UpstreamTimeouts;
  readonly probeIntervalMs: number;
  /** 0 reads no metrics. */
  readonly metricsIntervalMs: number;
}

const capabilityNames: Readonly<Record<string, Capability>> = {
  chat: Capability.CHAT,
  tools: Capability.TOOLS,
  reasoning: Capability.REASONING,
  structured_output: Capability.STRUCTURED_OUTPUT,
  logprobs: Capability.LOGPROBS,
  embeddings: Capability.EMBEDDINGS,
};

const modelsMax = 64;
const dayMs = 86_400_000;

/** Reads and checks the variables that docs/node.md lists under SLUICE_OPENAI. Throws a ConfigError for the first that is wrong. */
export function readOpenAiConfig(env: Environment = process.env): OpenAiConfig {
  const url = env.SLUICE_OPENAI_URL;
  if (!url) {
    throw new ConfigError(
      "SLUICE_RUNTIME=openai needs SLUICE_OPENAI_URL, the engine's address: http://127.0.0.1:8000/v1, or unix:/run/engine.sock.",
    );
  }
  return {
    address: readAddress(url, "SLUICE_OPENAI_URL"),
    key: keyOf(env),
    models: modelsOf(env),
    flavor: oneOf(env, "SLUICE_OPENAI_FLAVOR", ["auto", ...FLAVORS], "auto"),
    capabilities: capabilitiesOf(env),
    timeouts: {
      startMs: integer(env, "SLUICE_OPENAI_START_TIMEOUT_MS", 0, dayMs) ?? 120_000,
      connectMs: integer(env, "SLUICE_OPENAI_CONNECT_TIMEOUT_MS", 1, dayMs) ?? 5_000,
      firstByteMs: integer(env, "SLUICE_OPENAI_FIRST_BYTE_TIMEOUT_MS", 1, dayMs) ?? 300_000,
      idleMs: integer(env, "SLUICE_OPENAI_IDLE_TIMEOUT_MS", 1, dayMs) ?? 120_000,
    },
    probeIntervalMs: integer(env, "SLUICE_OPENAI_PROBE_INTERVAL_MS", 10, dayMs) ?? 5_000,
    metricsIntervalMs: integer(env, "SLUICE_OPENAI_METRICS_INTERVAL_MS", 0, dayMs) ?? 2_000,
  };
}

/** The value itself stays out of every message. */
function keyOf(env: Environment): string | undefined {
  const key = env.SLUICE_OPENAI_KEY || undefined;
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new ConfigError("SLUICE_OPENAI_KEY must be of printable ASCII characters without spaces.");
  }
  return key;
}

/** `id`, or `name=id` to call the engine's model by another name; several with commas. */
function modelsOf(env: Environment): ServedName[] | undefined {
  const text = env.SLUICE_OPENAI_MODEL;
  if (!text) return undefined;
  const served = text.split(",").map((entry): ServedName => {
    const [first = "", ...rest] = entry.split("=").map((part) => part.trim());
    const upstreamId = rest.length === 0 ? first : rest.join("=");
    if (first === "" || upstreamId === "" || first.length > 256 || upstreamId.length > 1_024) {
      throw new ConfigError(
        "SLUICE_OPENAI_MODEL must be the engine's model ids, or NAME=ID, with commas between them.",
      );
    }
    return { id: first, upstreamId };
  });
  if (new Set(served.map(({ id }) => id)).size < served.length) {
    throw new ConfigError("SLUICE_OPENAI_MODEL must not name two models alike.");
  }
  if (served.length > modelsMax) throw new ConfigError(`SLUICE_OPENAI_MODEL must name at most ${modelsMax} models.`);
  return served;
}

function capabilitiesOf(env: Environment): Capability[] | undefined {
  const text = env.SLUICE_OPENAI_CAPABILITIES;
  if (!text) return undefined;
  return text.split(",").map((name) => {
    const capability = capabilityNames[name.trim()];
    if (capability !== undefined) return capability;
    const names = Object.keys(capabilityNames).join(", ");
    throw new ConfigError(
      `SLUICE_OPENAI_CAPABILITIES must be of ${names}, with commas between them, but has "${name}".`,
    );
  });
}
