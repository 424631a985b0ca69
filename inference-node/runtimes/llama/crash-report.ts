// Writes a small file about a native child that died: how, after what words, with which requests; never any text of them.
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { LogEntry } from "../../log.ts";
import type { ChildEnd } from "./native-child.ts";
import type { Work } from "./supervisor.ts";

/** Reports that are kept; the oldest go. */
const reportsMax = 20;
/** Requests that one report names. */
const requestsMax = 256;

export interface CrashFacts extends Omit<ChildEnd, "loaded"> {
  /** Deaths in a row, this one among them. */
  readonly deaths: number;
  /** What it worked on. */
  readonly running: readonly Work[];
  /** Resident memory when it was last heard of. */
  readonly residentBytes: number | undefined;
  /** Engine, release and kernels; undefined when the model was never loaded. */
  readonly engine: string | undefined;
  readonly model: string;
}

export interface CrashReportsOptions {
  /** Undefined writes none. */
  readonly folder: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  readonly log: (entry: LogEntry) => void;
}

export class CrashReports {
  readonly #options: CrashReportsOptions;
  #last: Promise<void> = Promise.resolve();

  constructor(options: CrashReportsOptions) {
    this.#options = options;
  }

  /** Writes a report in the background; gives the path that it will have. */
  write(facts: CrashFacts): string | undefined {
    const { folder, now } = this.#options;
    if (folder === undefined) return undefined;
    const time = new Date(now()).toISOString();
    const path = join(folder, `crash-${time.replaceAll(":", "-")}-${facts.pid ?? 0}.json`);
    this.#last = this.#last.then(() => this.#save(folder, path, render(time, facts)));
    return path;
  }

  /** Resolves when what was begun is on the disk. */
  settled(): Promise<void> {
    return this.#last;
  }

  async #save(folder: string, path: string, text: string): Promise<void> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const draft = `${path}.${randomUUID()}.draft`;
      await writeFile(draft, text, { mode: 0o600 });
      await rename(draft, path);
      const names = (await readdir(folder)).filter((name) => /^crash-.*\.(json|draft)$/.test(name)).sort();
      for (const name of names.slice(0, -reportsMax)) await rm(join(folder, name), { force: true });
    } catch (error) {
      this.#options.log({ level: "warn", event: "runtime.report_failed", path, message: String(error) });
    }
  }
}

function render(time: string, facts: CrashFacts): string {
  const { pid, code, signal, reason, livedMs, deaths, lastOutput, running, residentBytes, engine, model } = facts;
  const report = {
    time,
    model,
    pid,
    code,
    signal,
    reason: reason ?? null,
    lived_ms: Math.round(livedMs),
    deaths_in_a_row: deaths,
    resident_mb: residentBytes === undefined ? null : Math.round(residentBytes / 1e6),
    running: running.slice(0, requestsMax).map(({ options, tokens }) => ({
      request_id: options.requestId,
      prompt_tokens: options.tokens.length,
      completion_tokens: tokens,
    })),
    running_count: running.length,
    last_output: lastOutput.split("\n").filter((line) => line !== ""),
    versions: {
      engine: engine ?? null,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      os: release(),
    },
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
