// Boots the real stack on loopback, by the code of `npm start`, with a state folder of its own.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./wait.ts";

/** The repository's root. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const START_WAIT_MS = 110_000;
const STOP_WAIT_MS = 15_000;
const OUTPUT_CHARS_MAX = 200_000;

export interface StackOptions {
  runtime: "scripted" | "llama" | "openai";
  /** Added to the environment of start, node and edge. */
  env?: Record<string, string>;
  /** Port of the edge; 0 (the default) takes any free one. */
  port?: number;
  /** Kept after `stop`; by default the stack has a temporary folder that is removed. */
  stateDir?: string;
  /** More options of `npm start`. */
  args?: string[];
  /** Keeps a Ctrl-C that is meant for this program from it. */
  ownGroup?: boolean;
}

/** Process ids; null for what does not run at the moment. */
export interface Pids {
  start: number;
  node: number | null;
  runtime: number | null;
  edge: number | null;
}

/** What dev.json says. */
export interface Dev {
  url: string;
  apiKey: string;
  adminKey: string;
  node: string;
  nodeWeb: string;
  nodeSecret: string;
  model: string;
  pids: Pids;
}

/** One line of the node's or the edge's log. */
export interface LogEvent {
  event: string;
  [field: string]: unknown;
}

export interface Stack {
  url: string;
  apiKey: string;
  adminKey: string;
  /** Id of the model served. */
  model: string;
  /** Native gRPC door of the node, `host:port`. */
  nodeGrpc: string;
  /** URL of the node's gRPC-Web door. */
  nodeWeb: string;
  nodeSecret: string;
  stateDir: string;
  /** Read anew at each access: a restart changes them. */
  readonly pids: Pids;
  /** What start has printed so far. */
  output(): string;
  /** The logs of node and edge as text. */
  logs(): string;
  /** The JSON lines of the node's log, of one event if named, oldest first. */
  nodeEvents(event?: string): LogEvent[];
  /** The JSON lines of the edge's log, without the probes of start itself. */
  edgeEvents(event?: string): LogEvent[];
  /** Waits until the node has logged the event with these fields. */
  waitForNode(event: string, fields?: Record<string, unknown>, timeoutMs?: number): Promise<LogEvent>;
  /** Ends the whole stack; safe to call twice. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The environment of a stack: this one, without what would change its ports, model or keys. */
function cleanEnvironment(extra: Record<string, string>): Record<string, string | undefined> {
  const own = Object.entries(process.env).filter(([name]) => {
    return !/^(SLUICE_|PORT$|npm_|VITEST|NODE_ENV$|FORCE_COLOR$)/.test(name);
  });
  return { ...Object.fromEntries(own), ...extra };
}

/** The flags by which an older Node runs TypeScript, without those that vitest gives to its workers. */
function nodeFlags(): string[] {
  return process.execArgv.filter((flag) => /^--(experimental-(strip-types|sqlite)$|disable-warning=)/.test(flag));
}

export interface Launched {
  child: ChildProcess;
  output: () => string;
  exited: Promise<number | null>;
}

/** Starts `npm start`'s program with these arguments and collects what it prints, without waiting for anything. */
export function launch(args: string[], env: Record<string, string> = {}, ownGroup = false): Launched {
  const child = spawn(process.execPath, [...nodeFlags(), join(root, "cli", "start", "main.ts"), ...args], {
    cwd: root,
    env: cleanEnvironment(env),
    detached: ownGroup,
    // The channel ends with this process: a test run that is killed leaves no stack behind.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text = (text + chunk).slice(-OUTPUT_CHARS_MAX);
    });
  }
  // "close" and not "exit": by then all of the output has been read.
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return { child, output: () => text, exited };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function parseEvents(text: string, event: string | undefined): LogEvent[] {
  const events: LogEvent[] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith("{")) continue;
    try {
      const value = JSON.parse(line) as LogEvent;
      if (event === undefined || value.event === event) events.push(value);
    } catch {
      // A line that is being written.
    }
  }
  return events;
}

function readDev(stateDir: string): Dev {
  return JSON.parse(readFileSync(join(stateDir, "dev.json"), "utf8")) as Dev;
}

async function waitUntilReady(start: Launched, logs: () => string): Promise<void> {
  let code: number | null | undefined;
  void start.exited.then((value) => {
    code = value;
  });
  const ready = (): boolean => {
    if (code !== undefined) throw new Error(`npm start ended with ${code}:\n${start.output()}\n${logs()}`);
    return start.output().includes("Sluice is ready.");
  };
  try {
    await until("npm start to be ready", ready, START_WAIT_MS);
  } catch (error) {
    start.child.kill("SIGKILL");
    throw new Error(`${(error as Error).message}\n${start.output()}\n${logs().slice(-4_000)}`);
  }
}

async function end(start: Launched): Promise<void> {
  if (start.child.exitCode === null && start.child.signalCode === null) start.child.kill("SIGTERM");
  const timer = setTimeout(() => start.child.kill("SIGKILL"), STOP_WAIT_MS);
  await start.exited;
  clearTimeout(timer);
}

/** Boots the stack and waits until it is ready. Rejects with what it printed when it does not come up. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), "sluice-test-"));
  const port = String(options.port ?? 0);
  const flags = ["--runtime", options.runtime, "--port", port, "--state", stateDir, ...(options.args ?? [])];
  const nodeLog = (): string => readText(join(stateDir, "logs", "node.log"));
  const edgeLog = (): string => readText(join(stateDir, "logs", "edge.log"));
  const logs = (): string => `${nodeLog()}\n${edgeLog()}`;
  const start = launch(flags, options.env, options.ownGroup);
  await waitUntilReady(start, logs);
  const dev = readDev(stateDir);
  const nodeEvents = (event?: string): LogEvent[] => parseEvents(nodeLog(), event);
  const stop = async (): Promise<void> => {
    await end(start);
    if (options.stateDir === undefined) rmSync(stateDir, { recursive: true, force: true });
  };
  return {
    url: dev.url,
    apiKey: dev.apiKey,
    adminKey: dev.adminKey,
    model: dev.model,
    nodeGrpc: dev.node,
    nodeWeb: dev.nodeWeb,
    nodeSecret: dev.nodeSecret,
    stateDir,
    get pids() {
      return readDev(stateDir).pids;
    },
    output: start.output,
    logs,
    nodeEvents,
    // Start probes /healthz by a clock of its own: a test that counts requests means its own.
    edgeEvents: (event) => parseEvents(edgeLog(), event).filter((line) => line.path !== "/healthz"),
    waitForNode: (event, fields = {}, timeoutMs = 10_000) => {
      const matches = (line: LogEvent): boolean => Object.entries(fields).every(([name, v]) => line[name] === v);
      return until(`the node's event ${event}`, () => nodeEvents(event).find(matches), timeoutMs);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
