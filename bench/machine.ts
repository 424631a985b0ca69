// The facts of the machine and the checkout, without which a figure means nothing later.
import { execFile } from "node:child_process";
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";
import { promisify } from "node:util";

export interface MachineFacts {
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  /** The checkout's commit; undefined outside a checkout. */
  readonly commit: string | undefined;
  /** Whether files differ from that commit. */
  readonly modified: boolean | undefined;
  /** Of the last minute, when the run began: what else was going on. */
  readonly loadAverage: number;
}

/** Asks the system and git; never fails. `root` is a directory of the checkout. */
export async function machineFacts(root: string): Promise<MachineFacts> {
  const [commit, changes] = await Promise.all([
    git(root, ["rev-parse", "HEAD"]),
    git(root, ["status", "--porcelain", "--untracked-files=no"]),
  ]);
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    commit,
    modified: changes === undefined ? undefined : changes !== "",
    loadAverage: loadavg()[0] ?? Number.NaN,
  };
}

async function git(root: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("git", ["-C", root, ...args], { timeout: 10_000 });
    return stdout.trim();
  } catch {
    return undefined;
  }
}
