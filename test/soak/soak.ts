// A whole soak: boots the stack, lets the crowd at it while the engine is killed, then proves what must hold.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { sampleProcesses } from "../../bench/process-memory.ts";
import { treeOf } from "../support/process-tree.ts";
import { type LogEvent, type Pids, type Stack, startStack } from "../support/stack.ts";
import type { Door } from "./client.ts";
import { accountFaults, idleFault, leftoversOf, prefixFaults, slotFault } from "./closing.ts";
import { Crowd } from "./crowd.ts";
import { Killer, Outages } from "./killer.ts";
import { Ledger } from "./ledger.ts";
import { MemoryLog } from "./memory-log.ts";
import { can, readModel } from "./node-account.ts";
import type { SoakOptions } from "./options.ts";
import { Random } from "./random.ts";
import type { World } from "./traffic.ts";
import { allHeld, type Findings, type Guarantee, verdictOf } from "./verdict.ts";

/** What is shown while it runs. */
export interface Progress {
  readonly stage: string;
  readonly elapsedMs: number;
  readonly ledger: Ledger;
  readonly running: number;
  readonly kills: number;
  readonly memory: MemoryLog;
}

export interface SoakResult {
  readonly findings: Findings;
  readonly verdict: readonly Guarantee[];
  readonly ledger: Ledger;
  readonly kills: number;
  readonly hangs: number;
  readonly interrupted: boolean;
  /** Folder with the logs of node and edge; kept when a guarantee was broken. */
  readonly logs: string | undefined;
}

/** Of the traffic, the last part without kills: the leaks of an engine that was just replaced would not be seen. */
const quietShare = 0.25;
const quietMsMax = 150_000;
/** Places in the queue, of the streams: few enough for a burst to overflow it, which is as large as all streams. */
const queueShare = 0.7;
const samplesMax = 2_000;
const sampleEveryMsMin = 500;
const killStream = 3_000_000;
const holderStream = 3_000_001;
const stepTimeoutMs = 20_000;
const backWithinMs = 120_000;
const prefixCacheMb = 64;
const documentMsMax = 3_000;

/** Runs it. `signal` ends the traffic early: what was seen so far is judged. */
export async function soak(
  options: SoakOptions,
  signal: AbortSignal,
  show: { progress: (progress: Progress) => void; event: (sentence: string) => void },
): Promise<SoakResult> {
  const stateDir = mkdtempSync(join(tmpdir(), "sluice-soak-"));
  const stack = await startStack({ runtime: "llama", stateDir, ownGroup: true, env: environment(options, stateDir) });
  const run = new Run(options, stack, signal, show);
  try {
    const result = await run.whole();
    const keep = !allHeld(result.verdict);
    if (!keep) rmSync(stateDir, { recursive: true, force: true });
    return { ...result, logs: keep ? join(stateDir, "logs") : undefined };
  } finally {
    await stack.stop();
  }
}

function environment({ streams, sequences }: SoakOptions, stateDir: string): Record<string, string> {
  return {
    SLUICE_QUEUE_DEPTH_MAX: String(Math.ceil(streams * queueShare)),
    SLUICE_STEP_TIMEOUT_MS: String(stepTimeoutMs),
    // Small, so that it is full soon.
    SLUICE_PREFIX_CACHE_MB: String(prefixCacheMb),
    SLUICE_CRASH_DIR: join(stateDir, "crashes"),
    ...(sequences !== undefined && { SLUICE_SEQUENCES: String(sequences) }),
  };
}

class Run {
  readonly #options: SoakOptions;
  readonly #stack: Stack;
  readonly #signal: AbortSignal;
  readonly #show: Parameters<typeof soak>[2];
  readonly #startedAt = performance.now();
  readonly #ledger = new Ledger();
  readonly #outages = new Outages();
  readonly #memory = new MemoryLog();
  readonly #firstPids: Pids;
  readonly #killer: Killer;
  #stage = "starting";
  #crowd: Crowd | undefined;

  constructor(options: SoakOptions, stack: Stack, signal: AbortSignal, show: Parameters<typeof soak>[2]) {
    this.#options = options;
    this.#stack = stack;
    this.#signal = signal;
    this.#show = show;
    this.#firstPids = stack.pids;
    this.#killer = new Killer({
      stack,
      random: new Random(options.seed, killStream),
      outages: this.#outages,
      now: () => this.#now(),
      everyMs: options.killEveryMs,
      hangShare: options.hangShare,
      backWithinMs: backWithinMs + stepTimeoutMs,
      onEvent: (sentence) => show.event(`${(this.#now() / 1000).toFixed(0)} s: ${sentence}`),
    });
  }

  async whole(): Promise<Omit<SoakResult, "logs">> {
    const { seed, requestTimeoutMs, streams, durationMs, leaveShare } = this.#options;
    const model = await readModel(this.#stack);
    const world: World = {
      seed,
      model: model.id,
      structured: can(model, "STRUCTURED_OUTPUT"),
      tools: can(model, "TOOLS"),
      logprobs: can(model, "LOGPROBS"),
      sequences: model.sequences,
      leaveShare,
    };
    const { url, apiKey } = this.#stack;
    const door: Door = { url, apiKey, timeoutMs: requestTimeoutMs, now: () => this.#now() };
    const shared = { door, world, ledger: this.#ledger, outages: this.#outages, signal: this.#signal };
    const crowd = new Crowd({ ...shared, streams, burstEveryMs: Math.min(30_000, durationMs / 5) });
    this.#crowd = crowd;
    const watched = new AbortController();
    const watching = this.#watch(watched.signal);
    const trafficS = await this.#traffic(crowd);
    const wanted = world.structured && !this.#signal.aborted ? this.#options.documents : 0;
    if (wanted > 0) await this.#documents(crowd, wanted);
    watched.abort();
    await watching;
    // Whoever was interrupted could not get them all.
    return this.#conclude(door, world, trafficS, this.#signal.aborted ? 0 : wanted);
  }

  /** The mixed traffic, with kills; gives the seconds that it took. */
  async #traffic(crowd: Crowd): Promise<number> {
    const { durationMs, killEveryMs } = this.#options;
    this.#stage = "traffic";
    const over = this.#limited(durationMs);
    const quietMs = Math.min(quietMsMax, durationMs * quietShare);
    const killing = killEveryMs > 0 ? this.#killer.run(this.#limited(durationMs - quietMs)) : undefined;
    await crowd.mixedTraffic(over);
    await killing;
    return this.#now() / 1000;
  }

  async #documents(crowd: Crowd, wanted: number): Promise<void> {
    this.#stage = "documents";
    await crowd.documents(wanted, this.#limited(wanted * documentMsMax));
  }

  async #conclude(door: Door, world: World, trafficS: number, wanted: number): Promise<Omit<SoakResult, "logs">> {
    this.#stage = "checks";
    const stack = this.#stack;
    const { seed, growthMaxPercent, requestTimeoutMs } = this.#options;
    const permits = await idleFault(stack).catch(unchecked);
    const random = new Random(seed, holderStream);
    const proof = { stack, door, world, random, withinMs: requestTimeoutMs };
    const slots = permits ?? (await slotFault(proof).catch(unchecked));
    const accounts = await accountFaults(stack, this.#ledger, world.sequences).catch((error) => [unchecked(error)]);
    const deathFaults = this.#deathFaults();
    const nodePid = stack.pids.node ?? 0;
    const prefixes = prefixFaults(nodePid, prefixCacheMb * 1e6);
    const tree = treeOf(stack.pids.start);
    await stack.stop();
    const { counts, failures, documents, requests } = this.#ledger;
    const findings: Findings = {
      seed,
      requests,
      answered: counts.answered,
      failed: counts.failed,
      failures,
      idleFault: permits,
      slotFault: slots,
      accountFaults: accounts,
      killerFault: this.#killer.fault,
      deathFaults,
      memory: this.#memory.rows(trafficS),
      trafficS,
      growthMaxPercent,
      documents: { wanted, ...documents },
      leftovers: [...prefixes, ...(await leftoversOf(tree, nodePid))],
    };
    const { kills, hangs } = this.#killer;
    const verdict = verdictOf(findings);
    return { findings, verdict, ledger: this.#ledger, kills, hangs, interrupted: this.#signal.aborted };
  }

  /** What died though nobody had killed it. */
  #deathFaults(): string[] {
    const { node, edge } = this.#stack.pids;
    const faults = [];
    if (node !== this.#firstPids.node) faults.push("The node was restarted.");
    if (edge !== this.#firstPids.edge) faults.push("The edge was restarted.");
    const deaths = this.#stack.nodeEvents("runtime.died");
    const strange = deaths.filter(({ signal }: LogEvent) => signal !== "SIGKILL");
    for (const death of strange) faults.push(`The engine died by itself: ${JSON.stringify(death).slice(0, 300)}.`);
    const struck = this.#killer.kills + this.#killer.hangs;
    if (deaths.length > struck)
      faults.push(`The engine died ${deaths.length} times, and ${struck} were the soak's work.`);
    return faults;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const everyMs = Math.max(sampleEveryMsMin, this.#options.durationMs / samplesMax);
    while (!signal.aborted) {
      const { pids } = this.#stack;
      this.#memory.add(this.#now() / 1000, await sampleProcesses([], [pids.start]), pids);
      const { kills, hangs } = this.#killer;
      this.#show.progress({
        stage: this.#stage,
        elapsedMs: this.#now(),
        ledger: this.#ledger,
        running: this.#crowd?.running ?? 0,
        kills: kills + hangs,
        memory: this.#memory,
      });
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #limited(ms: number): AbortSignal {
    return AbortSignal.any([this.#signal, AbortSignal.timeout(Math.ceil(ms))]);
  }

  #now(): number {
    return performance.now() - this.#startedAt;
  }
}

/** The fault of a check that could not be made: a node that is gone breaks every guarantee, and has a verdict. */
function unchecked(error: unknown): string {
  return `It could not be checked, since the node did not answer: ${(error as Error).message}.`;
}
