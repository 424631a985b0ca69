// Follows what each process of a stack holds in memory over a soak, and says how much it grew.
import type { ProcessMemory } from "../../bench/process-memory.ts";
import { growthOf } from "../../bench/soak.ts";
import type { Pids } from "../support/stack.ts";

export type Role = "node" | "workerd" | "engine" | "other";

interface Life {
  readonly pid: number;
  readonly name: string;
  readonly role: Role;
  /** `request` is the time of the sample, in seconds. */
  readonly points: { request: number; rssBytes: number }[];
}

/** What one process held while it lived. */
export interface MemoryRow {
  readonly pid: number;
  readonly name: string;
  readonly role: Role;
  /** Seconds from its first sample to its last. */
  readonly livedS: number;
  /** Medians over the first and the last tenth of the window; NaN when it did not live through the window. */
  readonly startBytes: number;
  readonly endBytes: number;
  readonly peakBytes: number;
  readonly growthPercent: number;
}

/** Most processes that are kept apart; a soak replaces its engine every now and then. */
const processesMax = 2_000;

export class MemoryLog {
  readonly #lives = new Map<number, Life>();

  /** Adds a sample, taken `atS` seconds after the soak's start. */
  add(atS: number, processes: readonly ProcessMemory[], pids: Pids): void {
    for (const { pid, name, rssBytes } of processes) {
      let life = this.#lives.get(pid);
      if (life === undefined) {
        if (this.#lives.size >= processesMax) continue;
        life = { pid, name, role: roleOf(pid, name, pids), points: [] };
        this.#lives.set(pid, life);
      }
      life.points.push({ request: atS, rssBytes });
    }
  }

  /**
   * One row a process. The window is the second half of the time until `untilS`; of an engine, which does not live so
   * long, it is the second half of its own life.
   */
  rows(untilS: number): MemoryRow[] {
    return [...this.#lives.values()].map((life) => {
      const first = life.points[0]?.request ?? 0;
      const last = life.points.at(-1)?.request ?? 0;
      const [from, to] = life.role === "engine" ? [(first + last) / 2, last] : [untilS / 2, untilS];
      const points = life.points.filter(({ request }) => request <= to);
      const { startBytes, endBytes, growthPercent } = growthOf({ ...life, points }, from, to);
      const peakBytes = Math.max(...life.points.map(({ rssBytes }) => rssBytes));
      const { pid, name, role } = life;
      return { pid, name, role, livedS: last - first, startBytes, endBytes, peakBytes, growthPercent };
    });
  }

  /** The last sample of the processes of a role, in bytes. */
  now(role: Role): number | undefined {
    const life = [...this.#lives.values()].findLast((one) => one.role === role);
    return life?.points.at(-1)?.rssBytes;
  }
}

function roleOf(pid: number, name: string, pids: Pids): Role {
  if (pid === pids.node) return "node";
  // By name, too: a new engine is there before start has learnt of it.
  if (pid === pids.runtime || name.endsWith(" child.ts")) return "engine";
  return name.startsWith("workerd") ? "workerd" : "other";
}
