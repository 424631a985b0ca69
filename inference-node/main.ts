// The node's process: reads the configuration, starts, serves, and goes down in order on a signal.
import { readFile } from "node:fs/promises";
import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import { systemClock } from "./clock.ts";
import { type NodeConfig, readConfig } from "./config.ts";
import type { TlsMaterial } from "./doors/tls.ts";
import { ConfigError } from "./env-values.ts";
import { createLog, type Log } from "./log.ts";
import { startNode } from "./node.ts";
import { createRuntime } from "./runtime-table.ts";

// A reader of the log that went away must not take the node with it.
process.stdout.on("error", () => undefined);
// grpc-js writes lines of its own; what matters of them comes back as errors.
setLogVerbosity(logVerbosity.NONE);

const bootLog = logAt("info");
process.on("uncaughtException", (error) => die(bootLog, error));
process.on("unhandledRejection", (error) => die(bootLog, error));
await run().catch((error: unknown) => die(bootLog, error));

async function run(): Promise<void> {
  const config = readConfig();
  const log = logAt(config.logLevel);
  const stop = stopRequest(log);
  const clock = systemClock;
  const tls = await readTls(config.tls);
  const runtime = await unlessStopped(stop, createRuntime(config, { log, clock, signal: stop.signal }));
  const node = await startNode({ ...config, runtime, clock, log, tls });
  log({ level: "info", event: "listening", grpc: node.grpcAddress, web: node.webUrl });
  const loaded = node.load();
  loaded.catch(() => undefined); // Awaited below, unless the stop request wins.
  const { graceMs } = await Promise.race([stop.requested, loaded.then(() => stop.requested)]);
  await node.shutDown(Math.min(graceMs, config.drainGraceMs));
  log({ level: "info", event: "stopped" });
  process.exit(0);
}

interface StopRequest {
  /** Resolves at the first request, with the most milliseconds to take. */
  requested: Promise<{ graceMs: number }>;
  signal: AbortSignal;
}

/** Listens for requests to stop; a second one ends the process at once. */
function stopRequest(log: Log): StopRequest {
  const controller = new AbortController();
  const requested = new Promise<{ graceMs: number }>((resolve) => {
    const request = (cause: string, graceMs: number, exitCode: number): void => {
      log({ level: "info", event: "stopping", cause });
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort();
      resolve({ graceMs });
    };
    process.on("SIGTERM", () => request("SIGTERM", Number.POSITIVE_INFINITY, 143));
    process.on("SIGINT", () => request("SIGINT", Number.POSITIVE_INFINITY, 130));
    // The parent that forked the node died: nobody is left to serve.
    process.on("disconnect", () => request("the parent process is gone", 0, 1));
  });
  return { requested, signal: controller.signal };
}

/** Waits for work that needs no taking down; ends the process when it is asked to stop meanwhile. */
async function unlessStopped<T>({ signal }: StopRequest, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (signal.aborted) process.exit(0);
    throw error;
  }
}

async function readTls(files: NodeConfig["tls"]): Promise<TlsMaterial | undefined> {
  if (files === undefined) return undefined;
  const read = (path: string, name: string): Promise<Buffer> =>
    readFile(path).catch((cause: unknown) => {
      throw new ConfigError(`${name} names "${path}", which can't be read.`, { cause });
    });
  return {
    cert: await read(files.cert, "SLUICE_NODE_TLS_CERT"),
    key: await read(files.key, "SLUICE_NODE_TLS_KEY"),
    clientCa: files.clientCa === undefined ? undefined : await read(files.clientCa, "SLUICE_NODE_TLS_CLIENT_CA"),
  };
}

function logAt(level: NodeConfig["logLevel"]): Log {
  return createLog({ level, clock: systemClock, write: (line) => process.stdout.write(line) });
}

/** Says why the node can't run, in one sentence, and ends the process. */
function die(log: Log, error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  log({ level: "error", event: "fatal", message: portInUse(message) ?? message });
  process.exit(1);
}

function portInUse(message: string): string | undefined {
  const address = /EADDRINUSE[^\d[]*((?:\[[^\]]+\]|[\w.:]+):\d+)/.exec(message)?.[1];
  return address && `${address} is in use by another process: stop it or choose another port.`;
}
