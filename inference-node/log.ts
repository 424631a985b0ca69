// Writes the node's log: one JSON line an event, without prompt text.
import type { Clock } from "./clock.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One event. `event` is a dotted name such as "generate.end"; other fields are the event's facts. */
export interface LogEntry {
  level: LogLevel;
  event: string;
  [fact: string]: unknown;
}

export type Log = (entry: LogEntry) => void;

export interface LogOptions {
  /** Events below this level are dropped. */
  level: LogLevel;
  clock: Clock;
  /** Takes one line, newline included. */
  write: (line: string) => void;
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Makes a log that stamps each event with an RFC 3339 `time`. An Error among the facts is written as its stack. */
export function createLog({ level, clock, write }: LogOptions): Log {
  return (entry) => {
    if (rank[entry.level] < rank[level]) return;
    write(`${JSON.stringify({ time: new Date(clock.now()).toISOString(), ...entry }, readableError)}\n`);
  };
}

function readableError(_key: string, value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? value.message;
  return typeof value === "bigint" ? value.toString() : value;
}
