// What a soak proved: each guarantee with whether it held, from what was found. Pure.
import type { Failure } from "./ledger.ts";
import type { MemoryRow } from "./memory-log.ts";

/** What a soak found. A `fault` is a sentence, undefined when all was well. */
export interface Findings {
  readonly seed: number;
  readonly requests: number;
  readonly answered: number;
  readonly failed: number;
  readonly failures: readonly Failure[];
  /** Whether nothing ran and nothing waited once the traffic was over. */
  readonly idleFault: string | undefined;
  /** Whether all of the model's sequences could run at once then. */
  readonly slotFault: string | undefined;
  readonly accountFaults: readonly string[];
  readonly killerFault: string | undefined;
  /** The engine's deaths by its own hand, and restarts of node or edge. */
  readonly deathFaults: readonly string[];
  readonly memory: readonly MemoryRow[];
  /** Seconds of traffic. */
  readonly trafficS: number;
  readonly growthMaxPercent: number;
  readonly documents: { readonly wanted: number; readonly whole: number; readonly cut: number };
  /** Files and processes that were still there, or more than there may be. */
  readonly leftovers: readonly string[];
}

export interface Guarantee {
  readonly name: string;
  /** Undefined when the run was too short to tell. */
  readonly held: boolean | undefined;
  readonly sentence: string;
}

/** A shorter window says more of garbage collection than of leaks, in seconds. */
const windowMin = 60;
const engineLifeMin = 2 * windowMin;
/** Fewer documents may all be cut by chance. */
const documentsMin = 20;
const faultsTold = 5;

export function verdictOf(findings: Findings): Guarantee[] {
  return [
    endsOf(findings),
    told("no permit leaked", findings.idleFault, "Nothing ran and nothing waited when the traffic was over."),
    told("no slot leaked", findings.slotFault, "All sequences of the model ran at once afterwards."),
    told("the node's account agrees", joined(findings.accountFaults), "Metrics and journal agree with the clients."),
    told("the engine comes back", findings.killerFault, "The engine was back after each kill."),
    told("nothing dies by itself", joined(findings.deathFaults), "Nothing died but what the soak killed."),
    documentsOf(findings),
    memoryOf("memory of the node is flat", findings, "node"),
    memoryOf("memory of workerd is flat", findings, "workerd"),
    engineMemoryOf(findings),
    told("nothing is left over", joined(findings.leftovers), "No process and no saved prompt was left."),
  ];
}

/** Whether no guarantee was broken. */
export function allHeld(verdict: readonly Guarantee[]): boolean {
  return verdict.every(({ held }) => held !== false);
}

function told(name: string, fault: string | undefined, well: string): Guarantee {
  return { name, held: fault === undefined, sentence: fault ?? well };
}

function joined(faults: readonly string[]): string | undefined {
  if (faults.length === 0) return undefined;
  const more = faults.length > faultsTold ? [`And ${faults.length - faultsTold} more.`] : [];
  return [...faults.slice(0, faultsTold), ...more].join(" ");
}

function endsOf({ requests, answered, failed, failures }: Findings): Guarantee {
  const name = "every client got an end";
  if (failed > 0) {
    const { kind, requestId = "without an id", reason } = failures[0] ?? { kind: "unknown", reason: "unknown" };
    return {
      name,
      held: false,
      sentence: `${failed} of ${requests} did not. The first, ${requestId} (${kind}): ${reason}.`,
    };
  }
  if (answered === 0) return { name, held: false, sentence: `None of ${requests} requests was answered.` };
  return { name, held: true, sentence: `${requests} requests had one each, ${answered} of them a whole answer.` };
}

function documentsOf({ documents, failures }: Findings): Guarantee {
  const { wanted, whole, cut } = documents;
  const name = "documents fit their schemas";
  const invalid = failures.filter(({ reason }) => /is no JSON|breaks its schema/.test(reason)).length;
  const sentence = `${whole} documents by schemas of their own were valid, ${cut} were cut by their length, ${invalid} were not valid.`;
  if (whole + cut + invalid === 0 && wanted === 0)
    return { name, held: undefined, sentence: "No document was asked for." };
  if (whole + cut < wanted) return { name, held: false, sentence: `${sentence} ${wanted} were wanted.` };
  // Schemas under which most documents are cut were not tried; of a few that says nothing.
  return { name, held: invalid === 0 && (whole > cut || whole + cut < documentsMin), sentence };
}

function memoryOf(name: string, findings: Findings, role: MemoryRow["role"]): Guarantee {
  const rows = findings.memory.filter((row) => row.role === role);
  const window = Math.floor(findings.trafficS / 2);
  if (window < windowMin) return { name, held: undefined, sentence: `Not judged over ${window} s: run for longer.` };
  const [row] = rows;
  if (rows.length !== 1 || row === undefined || Number.isNaN(row.growthPercent)) {
    return { name, held: false, sentence: `There were ${rows.length} processes, none of which lived all the time.` };
  }
  return grown(name, row, findings.growthMaxPercent, `over the last ${window} s of traffic`);
}

function engineMemoryOf({ memory, growthMaxPercent }: Findings): Guarantee {
  const name = "memory of the engine is flat";
  const lives = memory.filter(({ role, livedS, growthPercent }) => {
    return role === "engine" && livedS >= engineLifeMin && !Number.isNaN(growthPercent);
  });
  const worst = lives.toSorted((a, b) => b.growthPercent - a.growthPercent)[0];
  if (worst === undefined) return { name, held: undefined, sentence: `Not judged: none lived ${engineLifeMin} s.` };
  return grown(
    name,
    worst,
    growthMaxPercent,
    `over the second half of the ${Math.round(worst.livedS)} s that it lived`,
  );
}

function grown(name: string, row: MemoryRow, max: number, when: string): Guarantee {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const { startBytes, endBytes, growthPercent } = row;
  const sentence = `${megabytes(startBytes)} to ${megabytes(endBytes)} (${growthPercent.toFixed(1)} %) ${when}.`;
  return { name, held: growthPercent < max, sentence };
}
