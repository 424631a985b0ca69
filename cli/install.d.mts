// Types of install.mjs, which is plain JS because it runs before anything is installed.

/** An install that failed; the message is a sentence for the user. */
export class InstallError extends Error {}

/** Whether node_modules under `root` has every package that package-lock.json wants on this machine. */
export function matchesLock(root: string): boolean;

/** What went wrong and what to do about it, in one sentence, from npm's output. */
export function explain(output: string): string;

/** Installs unless node_modules already matches the lock file; true when it did. Rejects with InstallError. */
export function ensureInstalled(root: string): Promise<boolean>;
