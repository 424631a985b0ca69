// A lock between processes, held by a file: one works, the others wait, and a dead holder's lock is broken.
import { randomUUID } from "node:crypto";
import { readlinkSync } from "node:fs";
import { mkdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { Clock } from "../clock.ts";
import { systemCode } from "./model-error.ts";

/** How often a holder shows that it lives. */
const HEARTBEAT_MS = 2_000;
/** A lock that showed no life for so long is broken, whatever machine holds it. */
const STALE_MS = 30_000;
const POLL_MS = 200;

export interface FileLockOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Called once, when another process holds the lock; `pid` is 0 when it can't be read. Throw here to not wait. */
  readonly onWait?: (holder: { readonly pid: number }) => void;
}

interface Holder {
  readonly pid: number;
  /** Machine and pid namespace: pids mean something within one only. */
  readonly owner: string;
  readonly nonce: string;
}

interface Sighting {
  readonly holder: Holder | undefined;
  readonly mtimeMs: number;
}

/** Locks that this process holds: one by our own pid that is not here was left by a dead process that had the same pid. */
const heldHere = new Set<string>();

/**
 * Runs `task` while holding the lock at `path`, then frees it. The task's signal aborts when the caller's does or when the
 * lock was lost (the process slept for longer than a dead one may). Rejects with the signal's reason while waiting.
 */
export async function withFileLock<T>(
  path: string,
  options: FileLockOptions,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const nonce = randomUUID();
  // Before the file shows it: a waiter of this process that reads the file first would take the holder for dead.
  heldHere.add(nonce);
  try {
    await acquire(path, nonce, options);
  } catch (thrown) {
    heldHere.delete(nonce);
    throw thrown;
  }
  const lost = new AbortController();
  const heartbeat = setInterval(() => {
    void beat(path, nonce).then((alive) => {
      if (!alive) lost.abort(new Error("The lock was taken over by another process."));
    });
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await task(options.signal === undefined ? lost.signal : AbortSignal.any([options.signal, lost.signal]));
  } finally {
    clearInterval(heartbeat);
    heldHere.delete(nonce);
    if ((await readHolder(path))?.nonce === nonce) await rm(path, { force: true });
  }
}

async function acquire(path: string, nonce: string, options: FileLockOptions): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  let waited = false;
  let unchanged: { readonly key: string; readonly sinceMs: number } | undefined;
  for (;;) {
    options.signal?.throwIfAborted();
    if (await tryCreate(path, { pid: process.pid, owner: ownerHere(), nonce })) return;
    const seen = await sight(path);
    if (seen === undefined) continue;
    // Staleness is judged by how long the file stays unchanged before our own clock: other machines' clocks differ.
    const key = `${seen.holder?.nonce ?? ""} ${seen.mtimeMs}`;
    if (unchanged?.key !== key) unchanged = { key, sinceMs: options.clock.monotonic() };
    const stale = isDead(seen.holder) || options.clock.monotonic() - unchanged.sinceMs >= STALE_MS;
    if (stale && (await breakLock(path, seen, options.clock))) continue;
    if (!waited) options.onWait?.({ pid: seen.holder?.pid ?? 0 });
    waited = true;
    await options.clock.sleep(POLL_MS, options.signal);
  }
}

async function tryCreate(path: string, holder: Holder): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(holder), { flag: "wx" });
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** Removes a stale lock. A second file guards the removal, else two waiters could each remove the other's fresh lock. */
async function breakLock(path: string, stale: Sighting, clock: Clock): Promise<boolean> {
  const guard = `${path}.break`;
  const nonce = randomUUID();
  heldHere.add(nonce);
  if (!(await tryCreate(guard, { pid: process.pid, owner: ownerHere(), nonce }))) {
    const other = await sight(guard);
    if (other !== undefined && (isDead(other.holder) || clock.now() - other.mtimeMs >= STALE_MS)) {
      await rm(guard, { force: true });
    }
    heldHere.delete(nonce);
    return false;
  }
  try {
    const now = await sight(path);
    if (now === undefined) return true;
    if (now.holder?.nonce !== stale.holder?.nonce || now.mtimeMs !== stale.mtimeMs) return false;
    await rm(path, { force: true });
    return true;
  } finally {
    heldHere.delete(nonce);
    await rm(guard, { force: true });
  }
}

async function sight(path: string): Promise<Sighting | undefined> {
  try {
    const { mtimeMs } = await stat(path);
    return { holder: await readHolder(path), mtimeMs };
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Who holds the lock; undefined when the file is gone or only half written. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, owner, nonce } = value as Partial<Record<keyof Holder, unknown>>;
    if (typeof pid !== "number" || typeof owner !== "string" || typeof nonce !== "string") return undefined;
    return { pid, owner, nonce };
  } catch {
    return undefined;
  }
}

/** Shows life; false when the lock is no longer ours. A file that can't be read for a moment does not count as lost. */
async function beat(path: string, nonce: string): Promise<boolean> {
  const holder = await readHolder(path);
  if (holder !== undefined && holder.nonce !== nonce) return false;
  const now = new Date();
  try {
    await utimes(path, now, now);
    return true;
  } catch (error) {
    return systemCode(error) !== "ENOENT";
  }
}

function isDead(holder: Holder | undefined): boolean {
  if (holder === undefined || holder.owner !== ownerHere()) return false;
  if (holder.pid === process.pid) return !heldHere.has(holder.nonce);
  try {
    process.kill(holder.pid, 0);
    return false;
  } catch (error) {
    return systemCode(error) === "ESRCH";
  }
}

function ownerHere(): string {
  try {
    return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}
