// Sums up what many slow streams cost a node: memory of its processes and the lag of its event loop.
import { counted, megabytes, short } from "./format.ts";
import type { HoldResult } from "./slow-readers.ts";
import { median, type Spread, spreadOf } from "./statistics.ts";
import { errorsOf } from "./target.ts";

interface HeldProcess {
  readonly pid: number;
  readonly name: string;
  /** Resident before the streams, while all were held (median and most), and after they were hung up on; in bytes. */
  readonly beforeBytes: number;
  readonly heldBytes: number;
  readonly peakBytes: number;
  readonly afterBytes: number;
}

export interface SlowReadersSummary {
  readonly streams: number;
  /** Streams that had a first chunk. */
  readonly began: number;
  /** Until a stream's first chunk, and between two of its chunks. */
  readonly ttftP99Ms: number;
  readonly gapP50Ms: number;
  readonly gapP99Ms: number;
  readonly processes: readonly HeldProcess[];
  /** The p99 of the event loop's lag over ten seconds each, while all were held. */
  readonly lagP99Ms: Spread;
  readonly lagMissing: string | undefined;
  readonly errors: Readonly<Record<string, number>>;
}

export function summarizeSlowReaders(result: HoldResult, streams: number): SlowReadersSummary {
  const { record, before, held, after } = result;
  const processes = new Map([...before, ...held.flat(), ...after].map(({ pid, name }) => [pid, name]));
  return {
    streams,
    began: result.began,
    ttftP99Ms: record.ttft.percentile(0.99),
    gapP50Ms: record.itl.percentile(0.5),
    gapP99Ms: record.itl.percentile(0.99),
    processes: [...processes].map(([pid, name]) => {
      const of = (samples: HoldResult["before"]): number[] =>
        samples.filter((sample) => sample.pid === pid).map(({ rssBytes }) => rssBytes);
      const while_ = of(held.flat());
      return {
        pid,
        name,
        beforeBytes: median(of(before)),
        heldBytes: median(while_),
        peakBytes: while_.length === 0 ? Number.NaN : Math.max(...while_),
        afterBytes: median(of(after)),
      };
    }),
    lagP99Ms: spreadOf(result.lagsMs),
    lagMissing: result.lagMissing,
    errors: errorsOf([record]),
  };
}

export function slowReadersLines(summary: SlowReadersSummary): string[] {
  const { streams, began, ttftP99Ms, gapP50Ms, gapP99Ms, lagP99Ms, lagMissing, errors } = summary;
  const gaps = `gap between chunks p50 ${short(gapP50Ms)}, p99 ${short(gapP99Ms)} ms`;
  const lag = `event loop lag p99 over 10 s: median ${short(lagP99Ms.median)}, worst ${short(lagP99Ms.max)} ms`;
  return [
    `${counted(streams, "stream")} held at once, ${began} began, first chunk p99 ${short(ttftP99Ms)} ms, ${gaps}`,
    lagMissing === undefined ? lag : `note: the event loop's lag is not known: ${lagMissing}`,
    ...summary.processes.map((process) => processLine(process, began)),
    ...Object.entries(errors).map(([reason, count]) => `note: ${count} x ${reason}`),
  ];
}

function processLine({ pid, name, ...bytes }: HeldProcess, streams: number): string {
  const { beforeBytes, heldBytes, peakBytes, afterBytes } = bytes;
  const sizes = `${megabytes(beforeBytes)} -> ${megabytes(heldBytes)}, peak ${megabytes(peakBytes)}, after ${megabytes(afterBytes)}`;
  const each = (heldBytes - beforeBytes) / streams / 1000;
  const share = Number.isNaN(each) ? "" : `, ${short(each)} kB a stream`;
  return `${String(pid).padStart(8)}  ${name.slice(0, 32).padEnd(32)}  ${sizes}${share}`;
}

/** Why the run counts as failed, besides failed requests. */
export function slowReadersFaults({ lagP99Ms }: SlowReadersSummary, lagMaxMs: number): string[] {
  // What nobody tells is a note, not a fault.
  if (Number.isNaN(lagP99Ms.max) || lagP99Ms.max <= lagMaxMs) return [];
  return [`the event loop lagged by ${short(lagP99Ms.max)} ms (p99 over ten seconds), above ${lagMaxMs} ms`];
}
