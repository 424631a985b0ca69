// Reads the header of a safetensors file: which tensors it has and where (github.com/huggingface/safetensors, "Format").
import type { FileHandle } from "node:fs/promises";

export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Position in the file, in bytes. */
  readonly start: number;
  readonly bytes: number;
}

/** The format's own bound. */
const HEADER_BYTES_MAX = 100_000_000;
const FLOAT_BYTES = 4;

/** The file's F32 tensors by name. Throws an Error that says what is wrong with the file; lengths in it are not trusted. */
export async function readSafetensors(file: FileHandle): Promise<ReadonlyMap<string, StoredTensor>> {
  const { size } = await file.stat();
  const headerBytes = Number((await readExactly(file, 0, 8)).readBigUInt64LE(0));
  if (headerBytes > Math.min(HEADER_BYTES_MAX, size - 8))
    throw new Error("its list of tensors is longer than the file");
  const header = parseHeader((await readExactly(file, 8, headerBytes)).toString("utf8"));
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(header)) {
    const tensor = floatTensor(name, entry, 8 + headerBytes, size);
    if (tensor !== undefined) tensors.set(name, tensor);
  }
  return tensors;
}

function parseHeader(json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new Error("its list of tensors is no JSON");
  }
  if (typeof value !== "object" || value === null) throw new Error("its list of tensors is no object");
  return value as Record<string, unknown>;
}

/** Undefined for what is no F32 tensor: the metadata entry, and position ids. */
function floatTensor(name: string, entry: unknown, dataStart: number, fileBytes: number): StoredTensor | undefined {
  const { dtype, shape, data_offsets: offsets } = Object(entry) as Record<string, unknown>;
  if (dtype !== "F32") return undefined;
  if (!isListOfCounts(shape) || !isListOfCounts(offsets) || offsets.length !== 2) {
    throw new Error(`its tensor ${name} is described wrongly`);
  }
  const [from = 0, to = 0] = offsets;
  const bytes = shape.reduce((product, dimension) => product * dimension, FLOAT_BYTES);
  if (to - from !== bytes || dataStart + to > fileBytes) throw new Error(`its tensor ${name} does not fit the file`);
  return { name, shape, start: dataStart + from, bytes };
}

function isListOfCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw new Error("the file is cut short");
    done += bytesRead;
  }
  return buffer;
}
