// What every model source gets, tells while it works, and hands back.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { statfs } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import type { ModelSourceConfig } from "./config.ts";
import { noSpace } from "./model-error.ts";

type Phase = "waiting" | "downloading" | "unpacking" | "converting" | "verifying";

/** How far a pull has come. */
export interface Progress {
  readonly phase: Phase;
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  /** Which file of a split model, counted from 1; undefined for a model of one file. */
  readonly part?: { readonly index: number; readonly count: number } | undefined;
}

export interface FetchContext {
  readonly config: ModelSourceConfig;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/** A whole file in the staging folder, hashed while it was written. */
export interface FetchedFile {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** Checks by statfs that `bytes` more fit on the disk that holds `dir`; throws `no_space`. */
export async function ensureSpace(dir: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (bytes <= free) return;
  throw noSpace(dir, undefined, `${formatBytes(bytes)} are needed and ${formatBytes(free)} are free`);
}

/** Streams a file through SHA-256, telling how far it is. */
export async function hashFile(
  path: string,
  signal: AbortSignal | undefined,
  onBytes: (done: number) => void = () => undefined,
): Promise<string> {
  const hash = createHash("sha256");
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal: signal ?? null })) {
    hash.update(chunk);
    done += chunk.length;
    onBytes(done);
  }
  return hash.digest("hex");
}

/** "98.4 MB": decimal units, one digit. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
