// Looks at the processes of this machine: whose child is whose, and what is left of a tree.
import { execFileSync } from "node:child_process";

export interface ProcessRow {
  pid: number;
  parent: number;
  /** The group, by which a service's whole family is found also after its leader has died. */
  group: number;
  /** As ps has it; Z is a dead process that its parent has not collected yet. */
  state: string;
  command: string;
}

/** Every process of the machine. */
function processes(): ProcessRow[] {
  const text = execFileSync("ps", ["-A", "-o", "pid=,ppid=,pgid=,stat=,args="], { encoding: "utf8" });
  return text
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, pid, parent, group, state = "", command = ""]) => {
      return { pid: Number(pid), parent: Number(parent), group: Number(group), state, command };
    });
}

/** The process `root` and all that it or its children started. */
export function treeOf(root: number): ProcessRow[] {
  const all = processes();
  const pids = new Set([root]);
  for (let before = 0; before !== pids.size; ) {
    before = pids.size;
    for (const row of all) if (pids.has(row.parent)) pids.add(row.pid);
  }
  return all.filter((row) => pids.has(row.pid));
}

/** Which of these still run, and what else has joined their groups. */
export function survivorsOf(rows: ProcessRow[]): ProcessRow[] {
  const ours = processes().filter((row) => !row.state.startsWith("Z"));
  // A group of a process that does not lead one may be shared with the test itself.
  const led = new Set(rows.filter((row) => row.group === row.pid).map((row) => row.group));
  return ours.filter((now) => {
    return led.has(now.group) || rows.some((row) => row.pid === now.pid && row.command === now.command);
  });
}
