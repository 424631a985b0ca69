// Reads a whole GGUF of the kinds of values that our own writer knows, and writes another one with changes.
import { readFileSync, writeFileSync } from "node:fs";
import {
  type GgufTensor,
  type GgufValue,
  ggufHead,
  paddingAfter,
} from "../../inference-node/model-source/gguf-writer.ts";

export interface GgufFile {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
  /** All tensors' bytes; offsets count from its beginning. */
  readonly data: Buffer;
}

/** Throws for a type of value or tensor that the conversion does not write. */
export function readGguf(path: string): GgufFile {
  const bytes = readFileSync(path);
  let at = 8;
  const uint32 = (): number => {
    at += 4;
    return bytes.readUInt32LE(at - 4);
  };
  const uint64 = (): number => {
    at += 8;
    return Number(bytes.readBigUInt64LE(at - 8));
  };
  const string = (): string => {
    const length = uint64();
    at += length;
    return bytes.toString("utf8", at - length, at);
  };
  const list = <T>(count: number, read: () => T): T[] => Array.from({ length: count }, read);
  const int32 = (): number => uint32() | 0;
  const value = (type: number): GgufValue => {
    if (type === 4) return { type: "uint32", value: uint32() };
    if (type === 6) {
      at += 4;
      return { type: "float32", value: bytes.readFloatLE(at - 4) };
    }
    if (type === 7) {
      at += 1;
      return { type: "bool", value: bytes[at - 1] === 1 };
    }
    if (type === 8) return { type: "string", value: string() };
    const [item, count] = type === 9 ? [uint32(), uint64()] : [];
    if (item === 5) return { type: "int32s", value: list(count ?? 0, int32) };
    if (item === 8) return { type: "strings", value: list(count ?? 0, string) };
    throw new Error(`a value of type ${type}, ${item}`);
  };
  const [tensorCount, pairs] = [uint64(), uint64()];
  const metadata = new Map(list(pairs, () => [string(), value(uint32())] as const));
  const tensors = list(tensorCount, (): GgufTensor => {
    const [name, shape] = [string(), list(uint32(), uint64)];
    const type = uint32();
    if (type > 1) throw new Error(`a tensor of type ${type}`);
    return { name, shape, type: type === 0 ? "F32" : "F16", offset: uint64() };
  });
  return { metadata, tensors, data: bytes.subarray(at + paddingAfter(at)) };
}

export interface GgufChanges {
  /** Undefined takes a value away. */
  readonly metadata?: Readonly<Record<string, GgufValue | undefined>>;
  /** Added, in F32; the fastest-changing dimension first. */
  readonly tensors?: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly values: Float32Array;
  }[];
}

/** Writes the file with changes. */
export function writeGguf(path: string, file: GgufFile, { metadata = {}, tensors = [] }: GgufChanges): void {
  const pairs = new Map(file.metadata);
  for (const [key, value] of Object.entries(metadata)) {
    if (value === undefined) pairs.delete(key);
    else pairs.set(key, value);
  }
  const data = [file.data, Buffer.alloc(paddingAfter(file.data.length))];
  let offset = file.data.length + paddingAfter(file.data.length);
  const added = tensors.map(({ name, shape, values }): GgufTensor => {
    const tensor: GgufTensor = { name, shape, type: "F32", offset };
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    data.push(bytes, Buffer.alloc(paddingAfter(bytes.length)));
    offset += bytes.length + paddingAfter(bytes.length);
    return tensor;
  });
  writeFileSync(path, Buffer.concat([ggufHead([...pairs], [...file.tensors, ...added]), ...data]));
}
