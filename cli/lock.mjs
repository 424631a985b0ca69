// A lock file that dies with its owner: one process at a time installs, starts or migrates.
import { closeSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from "node:fs";

/** A lock file that cannot be read is believed to be still in writing for this long, in milliseconds. */
const WRITING_MS = 2_000;
const ATTEMPTS_MAX = 100;

/** When the process was born, in the kernel's ticks; undefined where there is no /proc. */
function bornAt(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name, in parentheses, may hold spaces: count the fields after it. Field 22 of proc(5) is the start time.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

export function self() {
  const born = bornAt(process.pid);
  return born === undefined ? { pid: process.pid } : { pid: process.pid, born };
}

export function isAlive(owner) {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if (error.code === "ESRCH") return false;
  }
  const born = bornAt(owner.pid);
  return owner.born === undefined || born === undefined || owner.born === born;
}

function createExclusively(path) {
  let file;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
  try {
    writeSync(file, JSON.stringify(self()));
  } finally {
    closeSync(file);
  }
  return true;
}

function readOwner(path) {
  try {
    const owner = JSON.parse(readFileSync(path, "utf8"));
    return Number.isInteger(owner.pid) && owner.pid > 0 ? owner : undefined;
  } catch {
    return undefined;
  }
}

function ageMs(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

function remove(path) {
  try {
    unlinkSync(path);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}

function isStale(path) {
  const owner = readOwner(path);
  return owner ? !isAlive(owner) : ageMs(path) > WRITING_MS;
}

/** Removes a dead owner's lock. Two may find it dead at once: only the holder of the second lock looks again and removes. */
function breakStale(path) {
  const breaker = `${path}.break`;
  if (!createExclusively(breaker)) {
    if (isStale(breaker)) remove(breaker);
    return;
  }
  try {
    if (isStale(path)) remove(path);
  } finally {
    remove(breaker);
  }
}

export function tryLock(path) {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    if (createExclusively(path)) return { held: true, release: () => remove(path) };
    const owner = readOwner(path);
    if (owner && isAlive(owner)) return { held: false, owner };
    if (isStale(path)) breakStale(path);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  }
  throw new Error(`The lock file ${path} cannot be taken: remove it and try again.`);
}
