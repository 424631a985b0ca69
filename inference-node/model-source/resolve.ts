// Turns a model reference into a file on this machine: from the cache, else from the first of its sources that has it.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../clock.ts";
import { catalogueSlot, hubSlot } from "./cache.ts";
import { CATALOGUE, type CatalogueEntry, type HubSource, type ServingDefaults, type Source } from "./catalogue.ts";
import { type ModelSourceConfig, modelSourceConfig } from "./config.ts";
import { type EnsureContext, type EnsuredFile, ensureFile, type WantedFile } from "./ensure-file.ts";
import { modelIdOfFile, readGgufHeader, splitParts } from "./gguf.ts";
import { explainIo, ModelError, systemCode } from "./model-error.ts";
import { formatHub, parseReference } from "./reference.ts";
import type { Progress } from "./source.ts";

export interface ResolveOptions {
  /** The environment's when absent. */
  readonly config?: ModelSourceConfig;
  /** Overrides the config's. */
  readonly cacheDir?: string;
  /** Overrides the config's. */
  readonly offline?: boolean;
  readonly catalogue?: readonly CatalogueEntry[];
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Gets a sentence when something went another way than usual: a damaged copy, a source that failed before another. */
  readonly onNotice?: (sentence: string) => void;
  /** Computes the checksum of a cached file even when the file did not change. */
  readonly rehash?: boolean;
}

export interface ResolvedModel {
  /** The id to serve it under. */
  readonly id: string;
  /** Absolute path of the GGUF; of the first part when it is split. */
  readonly path: string;
  /** All files, the first one first. */
  readonly parts: readonly string[];
  /** Where it came from just now. */
  readonly source: "cache" | "path" | Source["kind"];
  readonly quantization: string | undefined;
  readonly license: string | undefined;
  readonly ownedBy: string | undefined;
  /** Of a catalogue entry: how to serve it. */
  readonly serving: ServingDefaults | undefined;
  /** Of all parts together. */
  readonly bytes: number;
  /** Lower-case hex; undefined for a path and for a split model. */
  readonly sha256: string | undefined;
}

/**
 * Finds or fetches the model that `reference` names: a catalogue id, `hf:org/repo/file.gguf[@revision]` or a path.
 * Rejects with a ModelError whose message is one sentence for the operator.
 */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const parsed = parseReference(reference, options.catalogue ?? CATALOGUE);
  const base = options.config ?? modelSourceConfig();
  const config: ModelSourceConfig = {
    ...base,
    cacheDir: options.cacheDir ?? base.cacheDir,
    offline: options.offline ?? base.offline,
  };
  switch (parsed.kind) {
    case "path":
      return resolvePath(parsed.path);
    case "hub":
      return resolveHub(parsed.source, config, options);
    case "catalogue":
      return resolveEntry(parsed.entry, config, options);
  }
}

/** The id that a reference's model is served under, without a look at it. Throws as `resolveModel` rejects. */
export function idOfReference(reference: string, catalogue: readonly CatalogueEntry[] = CATALOGUE): string {
  const parsed = parseReference(reference, catalogue);
  if (parsed.kind === "catalogue") return parsed.entry.id;
  return modelIdOfFile(parsed.kind === "hub" ? parsed.source.path : parsed.path);
}

function contextOf(config: ModelSourceConfig, options: ResolveOptions): EnsureContext {
  return {
    config,
    clock: options.clock ?? systemClock,
    signal: options.signal ?? new AbortController().signal,
    onProgress: options.onProgress ?? ((): void => undefined),
    onNotice: options.onNotice ?? ((): void => undefined),
    rehash: options.rehash ?? false,
  };
}

async function resolveEntry(
  entry: CatalogueEntry,
  config: ModelSourceConfig,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const slot = catalogueSlot(config.cacheDir, entry);
  const expected = { sha256: entry.sha256, bytes: entry.bytes };
  const wanted: WantedFile = { label: entry.id, slot, sources: entry.sources, expected, part: undefined };
  const { id, quantization, license, ownedBy, serving } = entry;
  const found = await ensureFile(wanted, contextOf(config, options));
  return { id, path: slot.file, parts: [slot.file], quantization, license, ownedBy, serving, ...found };
}

async function resolveHub(
  source: HubSource,
  config: ModelSourceConfig,
  options: ResolveOptions,
): Promise<ResolvedModel> {
  const parts = splitParts(source.path).map((path) => ({ ...source, path }));
  const files: string[] = [];
  const found: EnsuredFile[] = [];
  for (const [index, part] of parts.entries()) {
    const slot = hubSlot(config.cacheDir, part);
    const wanted: WantedFile = {
      label: formatHub(part),
      slot,
      sources: [part],
      expected: { sha256: undefined, bytes: undefined },
      part: parts.length === 1 ? undefined : { index: index + 1, count: parts.length },
    };
    found.push(await ensureFile(wanted, contextOf(config, options)));
    files.push(slot.file);
  }
  const [path = ""] = files;
  const header = await readGgufHeader(path);
  return {
    id: modelIdOfFile(source.path),
    path,
    parts: files,
    source: found.every((file) => file.source === "cache") ? "cache" : "hub",
    quantization: header.quantization,
    license: header.license,
    ownedBy: source.organization,
    serving: undefined,
    bytes: found.reduce((sum, file) => sum + file.bytes, 0),
    sha256: found.length === 1 ? found[0]?.sha256 : undefined,
  };
}

async function resolvePath(given: string): Promise<ResolvedModel> {
  const parts = splitParts(given);
  let bytes = 0;
  for (const part of parts) bytes += await sizeOfModel(part, parts.length > 1);
  const [path = given] = parts;
  const header = await readGgufHeader(path);
  return {
    id: modelIdOfFile(path),
    path,
    parts,
    source: "path",
    quantization: header.quantization,
    license: header.license,
    ownedBy: undefined,
    serving: undefined,
    bytes,
    sha256: undefined,
  };
}

async function sizeOfModel(path: string, split: boolean): Promise<number> {
  const file = await stat(path).catch((error: unknown) => {
    if (!["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) throw explainIo(error, path);
    throw new ModelError(
      "file_not_found",
      `there is no file ${path}`,
      split
        ? "put all parts of the split model into one folder"
        : "check the path (a relative one starts at the working directory)",
      error,
    );
  });
  if (file.isDirectory()) {
    const models = (await readdir(path).catch(() => [])).filter((name) => /\.gguf$/i.test(name));
    const example = models[0] === undefined ? "a .gguf file" : join(path, models[0]);
    throw new ModelError("is_a_directory", `${path} is a directory`, `name the file itself: ${example}`);
  }
  return file.size;
}
