// Writes the head of a GGUF file: metadata and the list of tensors (gguf.md in the ggml repository, version 3).

/** Data begins, and each tensor in it, at a multiple of this. */
const GGUF_ALIGNMENT = 32;

/** A metadata value with its type, as GGUF tells them apart. */
export type GgufValue =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "uint32" | "float32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "int32s"; readonly value: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  /** Fastest-changing dimension first, which is the reverse of most frameworks. */
  readonly shape: readonly number[];
  readonly type: "F32" | "F16";
  /** Bytes from the beginning of the data. */
  readonly offset: number;
}

const VERSION = 3;
const TENSOR_TYPES = { F32: 0, F16: 1 } as const;
const VALUE_TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** All bytes before the tensors' data, padded so that the data begins aligned. */
export function ggufHead(metadata: readonly (readonly [string, GgufValue])[], tensors: readonly GgufTensor[]): Buffer {
  const head = Buffer.concat([
    Buffer.from("GGUF", "latin1"),
    uint32(VERSION),
    uint64(tensors.length),
    uint64(metadata.length),
    ...metadata.flatMap(([key, value]) => [text(key), ...encoded(value)]),
    ...tensors.map(tensorInfo),
  ]);
  return Buffer.concat([head, Buffer.alloc(paddingAfter(head.length))]);
}

/** Bytes from a length to the next multiple of the alignment. */
export function paddingAfter(length: number): number {
  return (GGUF_ALIGNMENT - (length % GGUF_ALIGNMENT)) % GGUF_ALIGNMENT;
}

function encoded(entry: GgufValue): Buffer[] {
  switch (entry.type) {
    case "string":
      return [uint32(VALUE_TYPES.string), text(entry.value)];
    case "uint32":
      return [uint32(VALUE_TYPES.uint32), uint32(entry.value)];
    case "float32":
      return [uint32(VALUE_TYPES.float32), fixed(4, (bytes) => bytes.writeFloatLE(entry.value))];
    case "bool":
      return [uint32(VALUE_TYPES.bool), Buffer.of(entry.value ? 1 : 0)];
    case "strings":
      return [...arrayHead(VALUE_TYPES.string, entry.value.length), ...entry.value.map(text)];
    case "int32s": {
      const items = entry.value.map((item) => fixed(4, (bytes) => bytes.writeInt32LE(item)));
      return [...arrayHead(VALUE_TYPES.int32, entry.value.length), ...items];
    }
  }
}

function arrayHead(itemType: number, length: number): Buffer[] {
  return [uint32(VALUE_TYPES.array), uint32(itemType), uint64(length)];
}

function tensorInfo({ name, shape, type, offset }: GgufTensor): Buffer {
  return Buffer.concat([
    text(name),
    uint32(shape.length),
    ...shape.map(uint64),
    uint32(TENSOR_TYPES[type]),
    uint64(offset),
  ]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  return fixed(4, (bytes) => bytes.writeUInt32LE(value));
}

function uint64(value: number): Buffer {
  return fixed(8, (bytes) => bytes.writeBigUInt64LE(BigInt(value)));
}

function fixed(length: number, write: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(length);
  write(bytes);
  return bytes;
}
