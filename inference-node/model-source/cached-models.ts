// Lists the models that are known or cached, and removes cached ones.

import { stat } from "node:fs/promises";
import { systemClock } from "../clock.ts";
import { catalogueSlot, hubSlot, listHubFiles, remove, removeEmptyFolders, type Slot } from "./cache.ts";
import { CATALOGUE, type CatalogueEntry } from "./catalogue.ts";
import { modelSourceConfig } from "./config.ts";
import { withFileLock } from "./file-lock.ts";
import { modelIdOfFile, readGgufHeader, splitParts } from "./gguf.ts";
import { explainIo, ModelError } from "./model-error.ts";
import { formatHub, parseReference } from "./reference.ts";

export interface ListedModel {
  readonly id: string;
  /** What to pull or remove it by. */
  readonly reference: string;
  readonly inCatalogue: boolean;
  /** Size when downloaded, as far as known. */
  readonly bytes: number | undefined;
  /** Size in the cache; undefined when it is not there. */
  readonly cachedBytes: number | undefined;
  readonly path: string | undefined;
  readonly quantization: string | undefined;
  readonly license: string | undefined;
  readonly ownedBy: string | undefined;
  readonly description: string | undefined;
}

export interface CacheOptions {
  readonly cacheDir?: string;
  readonly catalogue?: readonly CatalogueEntry[];
}

/** The catalogue, then the hub's files in the cache; a split model is one of them. */
export async function listModels(
  options: CacheOptions = {},
): Promise<{ readonly models: readonly ListedModel[]; readonly cacheDir: string }> {
  const cacheDir = options.cacheDir ?? modelSourceConfig().cacheDir;
  const models: ListedModel[] = [];
  for (const entry of options.catalogue ?? CATALOGUE) models.push(await listEntry(cacheDir, entry));
  models.push(...(await listHub(cacheDir)));
  return { models, cacheDir };
}

async function listEntry(cacheDir: string, entry: CatalogueEntry): Promise<ListedModel> {
  const { file } = catalogueSlot(cacheDir, entry);
  const found = await stat(file).catch(() => undefined);
  const cachedBytes = found?.isFile() ? found.size : undefined;
  const { id, bytes, quantization, license, ownedBy, description } = entry;
  const path = cachedBytes === undefined ? undefined : file;
  return {
    id,
    reference: id,
    inCatalogue: true,
    bytes,
    cachedBytes,
    path,
    quantization,
    license,
    ownedBy,
    description,
  };
}

async function listHub(cacheDir: string): Promise<readonly ListedModel[]> {
  const models = new Map<string, ListedModel>();
  for (const { source, file, bytes } of await listHubFiles(cacheDir)) {
    const first = { ...source, path: splitParts(source.path)[0] ?? source.path };
    const reference = formatHub(first);
    const known = models.get(reference);
    if (known !== undefined) {
      models.set(reference, { ...known, cachedBytes: (known.cachedBytes ?? 0) + bytes });
      continue;
    }
    const header = await readGgufHeader(file).catch(() => undefined);
    models.set(reference, {
      id: modelIdOfFile(first.path),
      reference,
      inCatalogue: false,
      bytes: undefined,
      cachedBytes: bytes,
      path: file,
      quantization: header?.quantization,
      license: header?.license,
      ownedBy: source.organization,
      description: undefined,
    });
  }
  return [...models.values()];
}

/** Removes a model, and what was begun of it, from the cache; resolves to the bytes freed. Throws a ModelError. */
export async function removeModel(reference: string, options: CacheOptions = {}): Promise<number> {
  const cacheDir = options.cacheDir ?? modelSourceConfig().cacheDir;
  const slots = await slotsOf(reference, cacheDir, options.catalogue ?? CATALOGUE);
  let freed: number | undefined;
  for (const slot of slots) {
    const bytes = await removeLocked(slot, reference);
    if (bytes !== undefined) freed = (freed ?? 0) + bytes;
    await removeEmptyFolders(slot, cacheDir);
  }
  if (freed !== undefined) return freed;
  throw new ModelError(
    "file_not_found",
    `${reference} is not in the cache`,
    "see what is there with sluice models list",
  );
}

async function removeLocked(slot: Slot, reference: string): Promise<number | undefined> {
  const onWait = ({ pid }: { readonly pid: number }): never => {
    const by = pid === 0 ? "another process" : `process ${pid}`;
    throw new ModelError("busy", `${reference} is being downloaded by ${by}`, "stop that download or wait for its end");
  };
  try {
    return await withFileLock(slot.lock, { clock: systemClock, onWait }, () => remove(slot));
  } catch (error) {
    throw explainIo(error, slot.file);
  }
}

/** By reference, or by the id of a cached file when that is one model's only. */
async function slotsOf(
  reference: string,
  cacheDir: string,
  catalogue: readonly CatalogueEntry[],
): Promise<readonly Slot[]> {
  const hubFiles = await listHubFiles(cacheDir);
  const byId = hubFiles.filter((file) => modelIdOfFile(file.source.path) === reference).map((file) => file.source);
  const inCatalogue = catalogue.some((entry) => entry.id === reference.toLowerCase());
  if (!inCatalogue && byId.length > 0) {
    const references = new Set(byId.map((source) => formatHub({ ...source, path: splitParts(source.path)[0] ?? "" })));
    if (references.size === 1) return byId.map((source) => hubSlot(cacheDir, source));
    throw new ModelError(
      "invalid_reference",
      `${reference} names more than one model`,
      `name one: ${[...references].join(", ")}`,
    );
  }
  const parsed = parseReference(reference, catalogue);
  switch (parsed.kind) {
    case "catalogue":
      return [catalogueSlot(cacheDir, parsed.entry)];
    case "hub":
      return splitParts(parsed.source.path).map((path) => hubSlot(cacheDir, { ...parsed.source, path }));
    case "path":
      throw new ModelError(
        "invalid_reference",
        `${parsed.path} is a file of yours, not of the cache`,
        "delete it by hand if you mean to",
      );
  }
}
