// Types of lock.mjs, which is plain JS because the guard needs it before any install.

/** Who holds a lock: a process id, and where the system tells, when that process was born. */
export interface LockOwner {
  pid: number;
  born?: string;
}

/** Either the lock (`release` it), or its living owner. */
export type LockAttempt =
  | { held: true; release: () => void; owner?: undefined }
  | { held: false; owner: LockOwner; release?: undefined };

/** Tries once to take the lock file at `path`; a lock whose owner has died is taken over. Throws the file system's errors. */
export function tryLock(path: string): LockAttempt;

/** Who this process is, for a lock file or a comparison. */
export function self(): LockOwner;

/** Whether the owner still runs (and is no other process that got the same id later). */
export function isAlive(owner: LockOwner): boolean;
