// Where saved states of prompts lie: a folder of this node's own, in memory if there is one, emptied of what dead nodes left.
import { readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const sharedMemory = "/dev/shm";
const prefix = "sluice-prefixes-";
let folders = 0;

/** A new folder's path, where there is room for twice as many bytes; the system's temporary folder when nowhere else. */
export function stateFolder(bytesMax: number): string {
  folders += 1;
  return join(parentFolder(bytesMax), `${prefix}${process.pid}-${folders}`);
}

/** Removes a node's folder with all in it. */
export function removeStateFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

/** Removes what nodes left behind that were killed. */
export function removeStaleStateFolders(parents: readonly string[] = [sharedMemory, tmpdir()]): void {
  for (const parent of parents) {
    for (const name of namesIn(parent)) {
      const pid = new RegExp(`^${prefix}(\\d+)-\\d+$`).exec(name)?.[1];
      if (pid !== undefined && !isAlive(Number(pid))) removeStateFolder(join(parent, name));
    }
  }
}

function parentFolder(bytesMax: number): string {
  try {
    const { bavail, bsize } = statfsSync(sharedMemory);
    if (bavail * bsize >= 2 * bytesMax) return sharedMemory;
  } catch {
    // This system has none.
  }
  return tmpdir();
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    // Somebody else's process is alive, too.
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}
