// Starts the inference node and follows the events of its log.
import { join } from "node:path";
import type { StartOptions } from "./options.ts";
import { HOST } from "./port.ts";
import type { ServiceSpec } from "./service.ts";
import type { Secrets, StatePaths } from "./state.ts";

/** What the node has told of itself so far. */
export interface NodeFacts {
  /** Native gRPC door, `host:port`. */
  grpc?: string;
  /** URL of the gRPC-Web door. */
  web?: string;
  /** Process id of the first model's native child; null while there is none. */
  runtimePid: number | null;
  /** The first model that a native child was started for. */
  runtimeModel?: string;
  models?: string[];
  /** What the node waits for before it can be ready. */
  waiting?: string;
  /** The node's last word before it gave up. */
  fatal?: string;
}

interface NodeEvent {
  event?: unknown;
  grpc?: unknown;
  web?: unknown;
  pid?: unknown;
  models?: unknown;
  model?: unknown;
  message?: unknown;
}

function parseEvent(line: string): NodeEvent {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    // The native runtime may print what is no JSON.
    return {};
  }
}

/** Takes one log line of the node into `facts`; true when it changed them. */
export function learn(facts: NodeFacts, line: string): boolean {
  const event = parseEvent(line);
  switch (event.event) {
    case "listening":
      if (typeof event.grpc === "string") facts.grpc = event.grpc;
      if (typeof event.web === "string") facts.web = event.web;
      return true;
    case "runtime.started":
      // The children of further models come and go without the first one's.
      if (typeof event.model === "string") facts.runtimeModel ??= event.model;
      if (facts.runtimeModel !== undefined && event.model !== facts.runtimeModel) return false;
      facts.runtimePid = typeof event.pid === "number" ? event.pid : null;
      return true;
    case "ready":
      if (Array.isArray(event.models)) facts.models = event.models.map(String);
      delete facts.waiting;
      return true;
    case "upstream.waiting":
      facts.waiting = String(event.message);
      return true;
    case "fatal":
      facts.fatal = String(event.message);
      return true;
    default:
      return false;
  }
}

export interface NodeSpecInput {
  root: string;
  options: StartOptions;
  secrets: Secrets;
  paths: Pick<StatePaths, "logs">;
  inherited: Record<string, string | undefined>;
  /** What an earlier run of the node said: it must come back behind the same doors. */
  facts: NodeFacts;
}

/** How long streams may still run after Ctrl-C, in milliseconds, unless the user says otherwise. */
const DRAIN_GRACE_MS = "2000";

/**
 * Garbage of finished streams is collected early: a node's memory then stays where it is after some hundred requests
 * instead of growing by half, for no measurable time (docs/decisions/2026-11-25-local-edge-server.md).
 */
const HEAP_FLAGS = ["--max-semi-space-size=1", "--initial-old-space-size=8", "--heap-growing-percent=30"];

/** The command line and environment of the node. */
export function nodeSpec({ root, options, secrets, paths, inherited, facts }: NodeSpecInput): ServiceSpec {
  const grpcPort = facts.grpc?.split(":").at(-1) ?? inherited.SLUICE_NODE_GRPC_PORT ?? "0";
  const webPort = facts.web === undefined ? (inherited.SLUICE_NODE_WEB_PORT ?? "0") : new URL(facts.web).port;
  return {
    command: process.execPath,
    args: [...HEAP_FLAGS, ...process.execArgv, join(root, "inference-node", "main.ts")],
    cwd: root,
    channel: true,
    env: {
      SLUICE_DRAIN_GRACE_MS: DRAIN_GRACE_MS,
      SLUICE_CRASH_DIR: join(paths.logs, "crashes"),
      ...inherited,
      SLUICE_RUNTIME: options.runtime,
      ...(options.model === undefined ? {} : { SLUICE_MODEL: options.model }),
      SLUICE_NODE_HOST: HOST,
      SLUICE_NODE_GRPC_PORT: grpcPort,
      SLUICE_NODE_WEB_PORT: webPort,
      SLUICE_NODE_SECRET: secrets.nodeSecret,
    },
  };
}
