// Reads what processes hold in memory from Linux's /proc.
import { readdir, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { BenchError } from "./target.ts";

/** Most processes that one sample looks at. */
const processesMax = 256;

export interface ProcessMemory {
  readonly pid: number;
  /** Program and script, without arguments: those may hold secrets. */
  readonly name: string;
  /** Resident set, in bytes. */
  readonly rssBytes: number;
}

/**
 * The processes `pids` and `treePids` with all their descendants. A process that has just gone is left out.
 * Throws a BenchError where there is no /proc. `proc` is for tests.
 */
export async function sampleProcesses(
  pids: readonly number[],
  treePids: readonly number[],
  proc = "/proc",
): Promise<ProcessMemory[]> {
  const wanted = new Set(pids);
  if (treePids.length > 0) {
    for (const pid of descendants(treePids, await parentsOf(proc))) wanted.add(pid);
  }
  const found = await Promise.all([...wanted].slice(0, processesMax).map((pid) => readProcess(pid, proc)));
  return found.filter((memory) => memory !== undefined);
}

async function parentsOf(proc: string): Promise<Map<number, number>> {
  let entries: string[];
  try {
    entries = await readdir(proc);
  } catch {
    throw new BenchError("memory is read from /proc, which this system does not have; run the soak on Linux");
  }
  const parents = new Map<number, number>();
  const read = async (entry: string): Promise<void> => {
    const stat = await readOrNothing(`${proc}/${entry}/stat`);
    // The name, in parentheses, may hold anything, parentheses too; the state and the parent follow the last one.
    const parent = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
    if (parent !== undefined) parents.set(Number(entry), Number(parent));
  };
  await Promise.all(entries.filter((entry) => /^\d+$/.test(entry)).map(read));
  return parents;
}

function descendants(roots: readonly number[], parents: ReadonlyMap<number, number>): Set<number> {
  const found = new Set(roots);
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return found;
}

async function readProcess(pid: number, proc: string): Promise<ProcessMemory | undefined> {
  const [status, command] = await Promise.all([
    readOrNothing(`${proc}/${pid}/status`),
    readOrNothing(`${proc}/${pid}/cmdline`),
  ]);
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status ?? "")?.[1];
  if (kilobytes === undefined) return undefined;
  return { pid, name: nameOf(command ?? ""), rssBytes: Number(kilobytes) * 1024 };
}

function nameOf(commandLine: string): string {
  const [program = "", ...rest] = commandLine.split("\0");
  const script = rest.find((argument) => /\.(ts|js|mjs|cjs|capnp)$/.test(argument));
  return script === undefined ? basename(program) : `${basename(program)} ${basename(script)}`;
}

async function readOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
