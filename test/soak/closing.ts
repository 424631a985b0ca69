// What is proved after the traffic: that nothing runs, that every slot is free, that nothing is left over.
import { readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProcessRow, survivorsOf } from "../support/process-tree.ts";
import type { Stack } from "../support/stack.ts";
import { ask, type Door } from "./client.ts";
import type { Ledger } from "./ledger.ts";
import { journalFaults, metricFaults, readJournal, readTotals, type Totals } from "./node-account.ts";
import type { Random } from "./random.ts";
import { planHolder, type World } from "./traffic.ts";

const lookEveryMs = 100;
const idleWithinMs = 60_000;
const goneWithinMs = 10_000;
/** Deltas of each stream by which it is seen to run, and not only to be counted. */
const deltasWanted = 2;
/** The engine keeps at most so many saved prompts. */
const prefixFilesMax = 256;

const running = (totals: Totals): number => totals.get("sluice_num_requests_running") ?? Number.NaN;
const waiting = (totals: Totals): number => totals.get("sluice_num_requests_waiting") ?? 0;

/** Waits until the node runs and holds nothing; a sentence when it does not come to that. */
export async function idleFault(stack: Stack): Promise<string | undefined> {
  const deadline = performance.now() + idleWithinMs;
  for (;;) {
    const totals = await readTotals(stack);
    if (running(totals) === 0 && waiting(totals) === 0) return undefined;
    if (performance.now() > deadline) {
      const s = idleWithinMs / 1000;
      return `${s} s after the last client was gone, ${running(totals)} requests ran and ${waiting(totals)} waited.`;
    }
    await sleep(lookEveryMs);
  }
}

export interface SlotProof {
  readonly stack: Stack;
  readonly door: Door;
  readonly world: World;
  readonly random: Random;
  readonly withinMs: number;
}

/** Lets as many streams run as the model has sequences; a sentence unless all of them ran at one moment. */
export async function slotFault({ stack, door, world, random, withinMs }: SlotProof): Promise<string | undefined> {
  const leave = new AbortController();
  const deltas = new Map<number, number>();
  let ended = 0;
  const streams = Array.from({ length: world.sequences }, async (_, index) => {
    const { close, status, text } = await ask(door, planHolder(random, world), leave.signal, (count) => {
      deltas.set(index, count);
    });
    ended += 1;
    return close === "left" ? undefined : `${close}, ${status}: ${text.slice(-300)}`;
  });
  const deadline = performance.now() + withinMs;
  let fault: string | undefined;
  for (;;) {
    const totals = await readTotals(stack);
    const speaking = [...deltas.values()].filter((count) => count >= deltasWanted).length;
    if (ended === 0 && running(totals) === world.sequences && speaking === world.sequences) break;
    if (ended > 0 || performance.now() > deadline) {
      fault = `Of ${world.sequences} streams, ${speaking} spoke, ${running(totals)} ran and ${ended} had ended`;
      break;
    }
    await sleep(lookEveryMs);
  }
  leave.abort();
  const ends = (await Promise.all(streams)).filter((end) => end !== undefined);
  if (fault !== undefined) return `${[fault, ...ends.slice(0, 1)].join("; the first of them with ")}.`;
  return idleFault(stack);
}

/** Where metrics and journal of the idle node differ from what the clients saw. */
export async function accountFaults(stack: Stack, ledger: Ledger, holders: number): Promise<string[]> {
  const entries = ledger.entries();
  const journal = await readJournal(
    stack,
    entries.map(({ requestId }) => requestId),
  );
  const counts = { ...ledger.counts, left: ledger.counts.left + holders };
  return [...journalFaults(entries, journal), ...metricFaults(await readTotals(stack), counts)];
}

/** The folders in which a node keeps saved prompts. */
function prefixFolders(nodePid: number): string[] {
  const named = (parent: string): string[] =>
    listed(parent)
      .filter((name) => name.startsWith(`sluice-prefixes-${nodePid}-`))
      .map((name) => join(parent, name));
  return ["/dev/shm", tmpdir()].flatMap(named);
}

/** Whether a node keeps more saved prompts than it may. */
export function prefixFaults(nodePid: number, bytesMax: number): string[] {
  return prefixFolders(nodePid).flatMap((folder) => {
    const files = listed(folder);
    const bytes = files.reduce((sum, name) => sum + sizeOf(join(folder, name)), 0);
    const isMore = files.length > prefixFilesMax || bytes > bytesMax;
    return isMore ? [`${folder} has ${files.length} files of ${bytes} bytes; ${bytesMax} bytes are allowed.`] : [];
  });
}

/** What is left of a stack that was stopped. */
export async function leftoversOf(
  tree: ProcessRow[],
  nodePid: number,
  withinMs: number = goneWithinMs,
): Promise<string[]> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const survivors = survivorsOf(tree).map(
      ({ pid, command }) => `Process ${pid} still runs: ${command.slice(0, 100)}.`,
    );
    const left = [...survivors, ...prefixFolders(nodePid).map((folder) => `${folder} is still there.`)];
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(lookEveryMs);
  }
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
