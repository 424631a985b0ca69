// Reads what a GGUF file says of itself: that it is one, its quantization and licence, and the parts of a split model.
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { explainIo, ModelError } from "./model-error.ts";

const MAGIC = "GGUF";
/** Writers put the `general.*` keys first, so that this much holds all we read (gguf.md in the ggml repository). */
const PREFIX_BYTES = 64 * 1024;

export interface GgufHeader {
  /** Such as "Q4_K_M"; undefined when the file does not say or says a number that we do not know. */
  readonly quantization: string | undefined;
  /** As the file says it, mostly an SPDX id. */
  readonly license: string | undefined;
  readonly architecture: string | undefined;
  /** llama.cpp's `llama_pooling_type`, above 0 in a model that makes embeddings or ranks; undefined when there is none. */
  readonly pooling: number | undefined;
}

/** llama.cpp's `llama_ftype` numbers, as `general.file_type` carries them. */
const QUANTIZATIONS: Readonly<Record<number, string>> = {
  0: "F32",
  1: "F16",
  2: "Q4_0",
  3: "Q4_1",
  7: "Q8_0",
  8: "Q5_0",
  9: "Q5_1",
  10: "Q2_K",
  11: "Q3_K_S",
  12: "Q3_K_M",
  13: "Q3_K_L",
  14: "Q4_K_S",
  15: "Q4_K_M",
  16: "Q5_K_S",
  17: "Q5_K_M",
  18: "Q6_K",
  19: "IQ2_XXS",
  20: "IQ2_XS",
  21: "Q2_K_S",
  22: "IQ3_XS",
  23: "IQ3_XXS",
  24: "IQ1_S",
  25: "IQ4_NL",
  26: "IQ3_S",
  27: "IQ3_M",
  28: "IQ2_S",
  29: "IQ2_M",
  30: "IQ4_XS",
  31: "IQ1_M",
  32: "BF16",
  36: "TQ1_0",
  37: "TQ2_0",
  38: "MXFP4_MOE",
};

/** Whether these first bytes of a file are a GGUF's. */
export function hasGgufMagic(firstBytes: Uint8Array): boolean {
  return Buffer.from(firstBytes.subarray(0, 4)).toString("latin1") === MAGIC;
}

/**
 * Reads a file's header. Throws a ModelError: `not_a_gguf` when the magic is missing, `permission_denied` and the like
 * when it can't be read.
 */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  const prefix = await readPrefix(path).catch((error: unknown) => {
    throw explainIo(error, path);
  });
  if (!hasGgufMagic(prefix)) {
    throw new ModelError(
      "not_a_gguf",
      `${path} is not a GGUF file`,
      "name a model in the GGUF format, or convert it with llama.cpp's convert_hf_to_gguf.py",
    );
  }
  return parseGeneralKeys(prefix);
}

async function readPrefix(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(PREFIX_BYTES);
    const { bytesRead } = await file.read(buffer, 0, PREFIX_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Walks the key-value pairs until the `general.*` scalars end or the prefix does. Lengths are checked: input is hostile. */
function parseGeneralKeys(prefix: Buffer): GgufHeader {
  const found = new Map<string, string | number>();
  const reader = new PrefixReader(prefix, 24);
  const pairs = prefix.length >= 24 ? prefix.readBigUInt64LE(16) : 0n;
  for (let index = 0n; index < pairs; index++) {
    const key = reader.string();
    const type = reader.uint32();
    if (key === undefined || type === undefined) break;
    const value = reader.value(type);
    if (value === undefined) break;
    if (key.startsWith("general.") || key.endsWith(".pooling_type")) found.set(key, value);
  }
  const fileType = found.get("general.file_type");
  const architecture = textOf(found.get("general.architecture"));
  const pooling = found.get(`${architecture}.pooling_type`);
  return {
    quantization: typeof fileType === "number" ? QUANTIZATIONS[fileType] : undefined,
    license: textOf(found.get("general.license")),
    architecture,
    pooling: typeof pooling === "number" ? pooling : undefined,
  };
}

function textOf(value: string | number | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Sizes in bytes of GGUF's scalar value types; 8 (string) and 9 (array) have none. */
const SCALAR_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const TYPE_STRING = 8;
const TYPE_ARRAY = 9;

/** Reads little-endian fields; undefined once the prefix is used up. */
class PrefixReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  #take(length: number): Buffer | undefined {
    if (length > this.#bytes.length - this.#at) return undefined;
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }

  uint32(): number | undefined {
    return this.#take(4)?.readUInt32LE(0);
  }

  #length(): number | undefined {
    const value = this.#take(8)?.readBigUInt64LE(0);
    return value === undefined || value > BigInt(PREFIX_BYTES) ? undefined : Number(value);
  }

  string(): string | undefined {
    const length = this.#length();
    return length === undefined ? undefined : this.#take(length)?.toString("utf8");
  }

  /** A string, an unsigned 32-bit number, or 0 for what nobody asks for; undefined past the prefix. */
  value(type: number): string | number | undefined {
    if (type === TYPE_STRING) return this.string();
    if (type === TYPE_ARRAY) return this.#skipArray();
    const size = SCALAR_BYTES[type];
    if (size === undefined) return undefined;
    const bytes = this.#take(size);
    if (bytes === undefined) return undefined;
    return type === 4 ? bytes.readUInt32LE(0) : 0;
  }

  /** Steps over an array of scalars or strings, such as `general.tags`. */
  #skipArray(): number | undefined {
    const type = this.uint32();
    const count = this.#length();
    if (type === undefined || count === undefined) return undefined;
    for (let index = 0; index < count; index++) {
      const item = type === TYPE_ARRAY ? undefined : this.value(type);
      if (item === undefined) return undefined;
    }
    return 0;
  }
}

const SPLIT = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;
/** More parts than any model has; a bound, since the number comes from a name. */
const PARTS_MAX = 999;

/** The paths of all parts of a model, the first one first: one path unless its name ends in `-00001-of-0000N.gguf`. */
export function splitParts(path: string): readonly string[] {
  const match = SPLIT.exec(path);
  const total = Number(match?.[3] ?? 0);
  if (match === null || total < 1 || total > PARTS_MAX) return [path];
  return Array.from({ length: total }, (_, index) => {
    const suffix = `${String(index + 1).padStart(5, "0")}-of-${match[3]}`;
    return `${match[1]}-${suffix}.gguf`;
  });
}

/**
 * The id under which a file's model is served: its name without `.gguf` and without a split's part number, with each run
 * of characters outside `A-Za-z0-9._:-` made one `-`. Throws `invalid_reference` when nothing remains.
 */
export function modelIdOfFile(path: string): string {
  const stem = basename(path)
    .replace(/\.gguf$/i, "")
    .replace(/-\d{5}-of-\d{5}$/, "");
  const id = stem
    .replace(/[^A-Za-z0-9._:-]+/g, "-")
    .replace(/^[-.:]+|-+$/g, "")
    .slice(0, 128);
  if (id !== "") return id;
  throw new ModelError(
    "invalid_reference",
    `${path} gives no model id`,
    "rename the file so that its name has letters or digits before .gguf",
  );
}
