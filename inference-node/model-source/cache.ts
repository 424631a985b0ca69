// The cache of downloaded models: where each lies, whether it is still what was downloaded, and how to list and remove them.
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import type { CatalogueEntry, HubSource } from "./catalogue.ts";
import { explainIo, systemCode } from "./model-error.ts";
import { type FetchedFile, hashFile } from "./source.ts";

/** The paths that belong to one cached file. */
export interface Slot {
  readonly file: string;
  /** Says what the file's checksum was, and at which size and time of change it was computed. */
  readonly stamp: string;
  readonly lock: string;
  /** Unfinished downloads. */
  readonly stage: string;
}

/** The state of a cached file. */
export type Cached =
  | { readonly state: "absent" }
  | { readonly state: "sound"; readonly bytes: number; readonly sha256: string }
  | { readonly state: "corrupted"; readonly detail: string };

interface Stamp {
  readonly sha256: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}

/** What a file must be; undefined where nobody knows. */
export interface Expected {
  readonly sha256: string | undefined;
  readonly bytes: number | undefined;
}

export function catalogueSlot(cacheDir: string, entry: CatalogueEntry): Slot {
  return slotAt(join(cacheDir, "catalogue", entry.id, entry.file));
}

export function hubSlot(cacheDir: string, source: HubSource): Slot {
  const revision = encodeURIComponent(source.revision);
  return slotAt(join(cacheDir, "hub", source.organization, source.repository, revision, ...source.path.split("/")));
}

function slotAt(file: string): Slot {
  return { file, stamp: `${file}.verified.json`, lock: `${file}.lock`, stage: `${file}.stage` };
}

/**
 * Looks at a cached file. Its checksum is computed only when the file changed since it was last computed, or when
 * `rehash` asks for it: a start must not read gigabytes that nobody touched.
 */
export async function inspect(
  slot: Slot,
  expected: Expected,
  options: {
    readonly rehash: boolean;
    readonly signal: AbortSignal | undefined;
    readonly onBytes: (done: number, total: number) => void;
  },
): Promise<Cached> {
  const file = await stat(slot.file).catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return undefined;
    throw explainIo(error, slot.file);
  });
  if (file === undefined) return { state: "absent" };
  if (!file.isFile()) return { state: "corrupted", detail: "it is no plain file" };
  const stamp = await readStamp(slot.stamp);
  const bytes = expected.bytes ?? stamp?.bytes;
  if (bytes !== undefined && file.size !== bytes) {
    return { state: "corrupted", detail: `it has ${file.size} bytes instead of ${bytes}` };
  }
  const sha256 = expected.sha256 ?? stamp?.sha256;
  const unchanged = stamp?.mtimeMs === file.mtimeMs && stamp.bytes === file.size && stamp.sha256 === sha256;
  if (unchanged && !options.rehash) return { state: "sound", bytes: file.size, sha256: stamp.sha256 };
  const actual = await hashFile(slot.file, options.signal, (done) => options.onBytes(done, file.size)).catch(
    (error: unknown) => {
      throw explainIo(error, slot.file);
    },
  );
  if (sha256 !== undefined && actual !== sha256) return { state: "corrupted", detail: "its checksum is wrong" };
  // A cache that can't be written to (baked into an image) is as good; it is only hashed again each time.
  await writeStamp(slot, { sha256: actual, bytes: file.size, mtimeMs: file.mtimeMs }).catch(() => undefined);
  return { state: "sound", bytes: file.size, sha256: actual };
}

/** Moves a finished download into its place, at once or not at all. */
export async function install(slot: Slot, fetched: FetchedFile): Promise<void> {
  try {
    const { mtimeMs } = await stat(fetched.path);
    await mkdir(dirname(slot.file), { recursive: true });
    await rename(fetched.path, slot.file);
    await writeStamp(slot, { sha256: fetched.sha256, bytes: fetched.bytes, mtimeMs });
    await rm(slot.stage, { recursive: true, force: true });
  } catch (error) {
    throw explainIo(error, slot.file);
  }
}

/** Removes a cached file and all that belongs to it but its lock; resolves to the bytes freed, undefined when nothing was there. */
export async function remove(slot: Slot): Promise<number | undefined> {
  try {
    let freed: number | undefined;
    const staged = await readdir(slot.stage, { recursive: true }).catch(() => []);
    for (const path of [slot.file, ...staged.map((name) => join(slot.stage, name))]) {
      const found = await stat(path).catch(() => undefined);
      if (found?.isFile()) freed = (freed ?? 0) + found.size;
    }
    await rm(slot.file, { force: true, recursive: true });
    await rm(slot.stamp, { force: true });
    await rm(slot.stage, { force: true, recursive: true });
    return freed;
  } catch (error) {
    throw explainIo(error, slot.file);
  }
}

/** Removes the folders that a removal left empty, up to the cache itself. */
export async function removeEmptyFolders(slot: Slot, cacheDir: string): Promise<void> {
  for (let dir = dirname(slot.file); dir.startsWith(cacheDir + sep); dir = dirname(dir)) {
    const removed = await rmdir(dir).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}

/** A file of the hub that lies in the cache. */
export interface CachedHubFile {
  readonly source: HubSource;
  readonly file: string;
  readonly bytes: number;
}

/** All hub files in the cache, in the order of their paths. */
export async function listHubFiles(cacheDir: string): Promise<readonly CachedHubFile[]> {
  const root = join(cacheDir, "hub");
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return [];
    throw explainIo(error, root);
  });
  const found: CachedHubFile[] = [];
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    const [organization, repository, revision, ...path] = relative(root, file).split(sep);
    if (!entry.isFile() || !entry.name.toLowerCase().endsWith(".gguf")) continue;
    if (path.length === 0 || path.some((part) => part.endsWith(".stage"))) continue;
    const source: HubSource = {
      kind: "hub",
      organization: organization ?? "",
      repository: repository ?? "",
      revision: decodeURIComponent(revision ?? ""),
      path: path.join("/"),
    };
    found.push({ source, file, bytes: (await stat(file)).size });
  }
  return found.sort((left, right) => (left.file < right.file ? -1 : 1));
}

async function writeStamp(slot: Slot, stamp: Stamp): Promise<void> {
  await writeFile(slot.stamp, `${JSON.stringify(stamp)}\n`);
}

async function readStamp(path: string): Promise<Stamp | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { sha256, bytes, mtimeMs } = value as { [Key in keyof Stamp]?: unknown };
    if (typeof sha256 !== "string" || typeof bytes !== "number" || typeof mtimeMs !== "number") return undefined;
    return { sha256, bytes, mtimeMs };
  } catch {
    return undefined;
  }
}
