// The running stack: node and edge in their order, kept running, described in dev.json, taken down again.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureApiKey } from "./api-key.ts";
import { configurationFault, edgeSpec, isRuntimeCrash, writeEdgeEnv } from "./edge-service.ts";
import { watchHealth } from "./health-watch.ts";
import { Launcher } from "./launcher.ts";
import { LogFile } from "./log-file.ts";
import { learn, type NodeFacts, nodeSpec } from "./node-service.ts";
import type { StartOptions } from "./options.ts";
import { freePort, HOST } from "./port.ts";
import { migrate, pullModels } from "./prepare.ts";
import type { Report } from "./report.ts";
import type { Service } from "./service.ts";
import { reasonIn, StartError } from "./start-error.ts";
import { type DevFile, removeDevFile, type Secrets, type StatePaths, saveDevFile, saveSecrets } from "./state.ts";
import { Supervisor } from "./supervisor.ts";

const POLL_MS = 100;
const LISTEN_WAIT_MS = 60_000;
/** A large model may need minutes to load from a slow disk. */
const READY_WAIT_MS = 15 * 60_000;
const PROBE_TIMEOUT_MS = 5_000;
/** Fifteen seconds without an answer are a hang, a minute after a start; a busy machine must never look like one. */
const EDGE_WATCH = { intervalMs: 5_000, timeoutMs: PROBE_TIMEOUT_MS, failuresMax: 3, startFailuresMax: 12 };
const NODE_GRACE_MS = 5_000;
const EDGE_GRACE_MS = 3_000;

export interface StackInput {
  /** The repository's root. */
  root: string;
  options: StartOptions;
  paths: StatePaths;
  secrets: Secrets;
  /** The environment that children get. */
  inherited: Record<string, string | undefined>;
  report: Report;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
}

export class Stack {
  /** Rejects with StartError when the running stack cannot go on; never resolves. */
  readonly broken: Promise<never>;
  readonly #input: StackInput;
  readonly #stopping = new AbortController();
  readonly #launcher: Launcher;
  readonly #facts: NodeFacts = { runtimePid: null };
  readonly #nodeLog: LogFile;
  readonly #edgeLog: LogFile;
  readonly #node: Supervisor;
  readonly #edge: Supervisor;
  #edgePort = 0;
  #starting: Promise<unknown> = Promise.resolve();
  #dev: DevFile | undefined;
  #break: (error: Error) => void = () => undefined;

  constructor(input: StackInput) {
    this.#input = input;
    this.#launcher = new Launcher(input.report, input.options.verbose, this.#stopping.signal);
    this.#nodeLog = new LogFile(join(input.paths.logs, "node.log"));
    this.#edgeLog = new LogFile(join(input.paths.logs, "edge.log"));
    this.broken = new Promise((_, reject) => {
      this.#break = reject;
    });
    this.broken.catch(() => undefined);
    this.#node = this.#supervise("The node", this.#nodeLog, () => this.#startNode());
    this.#edge = this.#supervise("The edge", this.#edgeLog, () => this.#startEdge());
  }

  /** Brings everything up; resolves to how it is reached. Rejects with StartError, after which `stop` must be called. */
  start(): Promise<DevFile> {
    const starting = this.#bringUp();
    this.#starting = starting.catch(() => undefined);
    return starting;
  }

  /** Ends everything: the node first, so that running streams end in words. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#starting;
    await this.#node.stop(NODE_GRACE_MS);
    await this.#edge.stop(EDGE_GRACE_MS);
    removeDevFile(this.#input.paths);
    this.#launcher.close();
    this.#nodeLog.close();
    this.#edgeLog.close();
  }

  /** Ends everything without asking; `stop` still tidies up. */
  stopNow(): void {
    this.#stopping.abort();
    this.#node.kill();
    this.#edge.kill();
  }

  async #bringUp(): Promise<DevFile> {
    const { options, report, paths, secrets, inherited } = this.#input;
    this.#edgePort = await freePort(options.port);
    if (options.runtime === "llama") await pullModels(this.#input, this.#launcher, this.#nodeLog);
    await migrate(this.#input, this.#launcher, this.#edgeLog);
    const doors = await this.#nodeListening();
    writeEdgeEnv(paths, secrets, doors.nodeWeb, inherited);
    const url = `http://${HOST}:${this.#edgePort}`;
    await this.#edge.start();
    const model = await this.#ready(url);
    const apiKey = await this.#apiKey(url);
    report.done("node and edge: ready");
    this.#node.keep();
    this.#edge.keep();
    void this.#watchEdge(url);
    const { adminKey, nodeSecret } = secrets;
    this.#dev = { url, apiKey, adminKey, ...doors, nodeSecret, model, pids: this.#pids() };
    saveDevFile(paths, this.#dev);
    return this.#dev;
  }

  #supervise(name: string, log: LogFile, start: () => Promise<Service>): Supervisor {
    return new Supervisor({
      name,
      start,
      now: this.#input.now,
      onChange: () => this.#updateDev(),
      onCrash: (sentence) => this.#input.report.line(sentence),
      onGivenUp: (sentence) => this.#break(new StartError(`${sentence}: see ${log.path}.`)),
    });
  }

  #startNode(): Promise<Service> {
    this.#facts.runtimePid = null;
    const spec = nodeSpec({ ...this.#input, facts: this.#facts });
    const onLine = (line: string): void => {
      if (learn(this.#facts, line)) this.#updateDev();
    };
    return this.#launcher.start({ spec, log: this.#nodeLog, name: "node", onLine });
  }

  #startEdge(): Promise<Service> {
    const spec = edgeSpec(this.#input, this.#edgePort);
    const onLine = (line: string): void => {
      if (isRuntimeCrash(line)) this.#edge.kill();
    };
    return this.#launcher.start({ spec, log: this.#edgeLog, name: "edge", onLine });
  }

  async #nodeListening(): Promise<{ node: string; nodeWeb: string }> {
    const { report, now } = this.#input;
    report.progress("node: starting");
    await this.#node.start();
    const until = now() + LISTEN_WAIT_MS;
    while (now() < until) {
      const { grpc, web } = this.#facts;
      if (grpc !== undefined && web !== undefined) return { node: grpc, nodeWeb: web };
      this.#throwIfEnded("The node", this.#node, this.#nodeLog);
      await sleep(POLL_MS, undefined, { signal: this.#stopping.signal });
    }
    throw new StartError(`The node does not listen after ${LISTEN_WAIT_MS / 1000} s: see ${this.#nodeLog.path}.`);
  }

  /** Waits until the edge says that it and the node are ready; resolves to the id of the model served. */
  async #ready(url: string): Promise<string> {
    const { report, now, paths } = this.#input;
    const started = now();
    while (now() < started + READY_WAIT_MS) {
      this.#throwIfEnded("The node", this.#node, this.#nodeLog);
      this.#throwIfEnded("The edge", this.#edge, this.#edgeLog);
      const model = this.#facts.models?.[0];
      if (model !== undefined && (await this.#isReady(url))) return model;
      const fault = configurationFault(this.#edgeLog.tail().join("\n"));
      if (fault !== undefined) throw new StartError(`The edge's settings are wrong: ${fault}`);
      const { waiting } = this.#facts;
      const why = waiting === undefined ? "" : ` (${waiting})`;
      report.progress(`node and edge: waiting until ready, ${Math.round((now() - started) / 1000)} s${why}`);
      await sleep(POLL_MS, undefined, { signal: this.#stopping.signal });
    }
    throw new StartError(`The stack is not ready after ${READY_WAIT_MS / 60_000} minutes: see ${paths.logs}.`);
  }

  async #isReady(url: string): Promise<boolean> {
    try {
      const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
      const response = await fetch(`${url}/readyz`, { signal });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  #throwIfEnded(name: string, supervisor: Supervisor, log: LogFile): void {
    this.#stopping.signal.throwIfAborted();
    if (supervisor.service !== undefined) return;
    if (supervisor === this.#node && this.#facts.fatal !== undefined) throw new StartError(this.#facts.fatal);
    for (const line of log.tail()) this.#input.report.line(`  | ${line}`);
    const reason = reasonIn(log.tail());
    throw new StartError(
      `${name} ended before it was ready${reason === undefined ? "" : `, since ${reason}`}: see ${log.path}.`,
    );
  }

  async #apiKey(url: string): Promise<string> {
    const { secrets, paths } = this.#input;
    const ring = { url, adminKey: secrets.adminKey, saved: secrets.apiKey };
    const apiKey = await ensureApiKey(ring, this.#stopping.signal);
    if (apiKey !== secrets.apiKey) saveSecrets(paths, { ...secrets, apiKey });
    return apiKey;
  }

  #watchEdge(url: string): Promise<void> {
    const probe = async (signal: AbortSignal): Promise<void> => {
      const response = await fetch(`${url}/healthz`, { signal });
      await response.arrayBuffer();
    };
    const onUnanswered = (): void => {
      this.#input.report.line("The edge no longer answers; ending it.");
      this.#edge.kill();
    };
    const pid = (): number | undefined => this.#edge.service?.pid;
    return watchHealth({ probe, pid, onUnanswered, ...EDGE_WATCH }, this.#stopping.signal);
  }

  #pids(): DevFile["pids"] {
    const node = this.#node.service?.pid ?? null;
    const edge = this.#edge.service?.pid ?? null;
    return { start: process.pid, node, runtime: node === null ? null : this.#facts.runtimePid, edge };
  }

  /** Writes the process ids of the moment to dev.json; before the stack is ready there is no such file. */
  #updateDev(): void {
    if (this.#dev === undefined || this.#stopping.signal.aborted) return;
    this.#dev.pids = this.#pids();
    try {
      saveDevFile(this.#input.paths, this.#dev);
    } catch {
      // A full disk must not end what runs; the file then shows the process ids of before.
    }
  }
}
