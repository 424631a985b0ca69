// The lock between processes: one at a time, and no dead process keeps the others out.
import { spawnSync } from "node:child_process";
import { existsSync, readlinkSync } from "node:fs";
import { mkdir, readFile, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../clock.ts";
import { withFileLock } from "./file-lock.ts";
import { temporaryFolder } from "./testing/fake-files.ts";

const clock = systemClock;

function ownerHere(): string {
  try {
    return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}

function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

/** A clock on which every sleep takes its time at once. */
function skippingClock(): Clock {
  let ms = 0;
  return {
    now: () => Date.now() + ms,
    monotonic: () => ms,
    sleep: async (sleepMs, signal) => {
      ms += sleepMs;
      await systemClock.sleep(0, signal);
    },
  };
}

test("of many at once only one works at a time, and each gets its turn", async () => {
  const path = join(await temporaryFolder(), "deep", "x.lock");
  let working = 0;
  let most = 0;
  const turns = Array.from({ length: 5 }, () =>
    withFileLock(path, { clock: skippingClock() }, async () => {
      most = Math.max(most, ++working);
      await clock.sleep(5);
      return working--;
    }),
  );
  expect(await Promise.all(turns)).toHaveLength(5);
  expect(most).toBe(1);
  expect(existsSync(path)).toBe(false);
});

test("the lock is freed when the task fails", async () => {
  const path = join(await temporaryFolder(), "x.lock");
  const failing = withFileLock(path, { clock }, () => Promise.reject(new Error("task failed")));
  await expect(failing).rejects.toThrow("task failed");
  expect(existsSync(path)).toBe(false);
});

test.each([
  ["a process that died", () => ({ pid: deadPid(), owner: ownerHere(), nonce: "a" })],
  ["a process that died and had our pid", () => ({ pid: process.pid, owner: ownerHere(), nonce: "a" })],
])("the lock of %s is broken at once", async (_name, holder) => {
  const path = join(await temporaryFolder(), "x.lock");
  await writeFile(path, JSON.stringify(holder()));
  const began = clock.monotonic();
  expect(await withFileLock(path, { clock }, async () => "mine")).toBe("mine");
  expect(clock.monotonic() - began).toBeLessThan(1_000);
});

test.each([
  ["of another machine", JSON.stringify({ pid: 1, owner: "elsewhere", nonce: "a" })],
  ["half written", '{"pid":'],
])("a lock %s is broken after 30 s without a sign of life, not before", async (_name, content) => {
  const path = join(await temporaryFolder(), "x.lock");
  await writeFile(path, content);
  const skipping = skippingClock();
  await withFileLock(path, { clock: skipping }, async () => undefined);
  expect(skipping.monotonic()).toBeGreaterThanOrEqual(30_000);
  expect(skipping.monotonic()).toBeLessThan(35_000);
});

test("a holder elsewhere that shows life is waited for", async () => {
  const path = join(await temporaryFolder(), "x.lock");
  await writeFile(path, JSON.stringify({ pid: 1, owner: "elsewhere", nonce: "a" }));
  let ms = 0;
  const stop = new AbortController();
  const living: Clock = {
    now: () => ms,
    monotonic: () => ms,
    sleep: async (sleepMs, signal) => {
      ms += sleepMs;
      if (ms > 120_000) stop.abort(new Error("waited long enough"));
      await utimes(path, ms, ms);
      signal?.throwIfAborted();
    },
  };
  const waiting = withFileLock(path, { clock: living, signal: stop.signal }, async () => "got it");
  await expect(waiting).rejects.toThrow("waited long enough");
});

test("who waits is told once who holds it, and may refuse to wait", async () => {
  const path = join(await temporaryFolder(), "x.lock");
  const holders: number[] = [];
  await withFileLock(path, { clock }, async () => {
    const onWait = ({ pid }: { readonly pid: number }): void => {
      holders.push(pid);
      throw new Error("no time");
    };
    await expect(withFileLock(path, { clock, onWait }, async () => undefined)).rejects.toThrow("no time");
  });
  expect(holders).toEqual([process.pid]);
});

test("an abort ends the waiting with its reason, and leaves the holder's lock alone", async () => {
  const path = join(await temporaryFolder(), "x.lock");
  await withFileLock(path, { clock }, async () => {
    const caller = new AbortController();
    setTimeout(() => caller.abort(new Error("enough")), 20);
    const waiting = withFileLock(path, { clock, signal: caller.signal }, async () => undefined);
    await expect(waiting).rejects.toThrow("enough");
    expect(existsSync(path)).toBe(true);
  });
});

test("the task's abort signal is the caller's", async () => {
  const path = join(await temporaryFolder(), "x.lock");
  const caller = new AbortController();
  await withFileLock(path, { clock, signal: caller.signal }, async (signal) => {
    caller.abort();
    expect(signal.aborted).toBe(true);
  });
});

test("a lock that another took over aborts the task and is not removed", { timeout: 10_000 }, async () => {
  const path = join(await temporaryFolder(), "x.lock");
  const others = JSON.stringify({ pid: 1, owner: "elsewhere", nonce: "b" });
  await withFileLock(path, { clock }, async (signal) => {
    await writeFile(path, others);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    expect(String(signal.reason)).toContain("taken over");
  });
  expect(await readFile(path, "utf8")).toBe(others);
});

test("a breaker that died does not keep a stale lock alive", async () => {
  const path = join(await temporaryFolder(), "x.lock");
  const dead = JSON.stringify({ pid: deadPid(), owner: ownerHere(), nonce: "a" });
  await writeFile(path, dead);
  await writeFile(`${path}.break`, dead);
  await withFileLock(path, { clock }, async () => undefined);
  expect(existsSync(`${path}.break`)).toBe(false);
});

test("a folder that can't be made is an error, not a wait", async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, "file"), "");
  await mkdir(join(dir, "sub"));
  const locking = withFileLock(join(dir, "file", "x.lock"), { clock }, async () => undefined);
  await expect(locking).rejects.toMatchObject({ code: expect.stringMatching(/ENOTDIR|EEXIST/) });
});
