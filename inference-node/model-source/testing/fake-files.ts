// Makes small GGUF files, wheels and temporary folders for the tests of model sources.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { onTestFinished } from "vitest";
import { type Clock, systemClock } from "../../clock.ts";
import type { CatalogueEntry, PackageSource, Source } from "../catalogue.ts";
import type { ModelSourceConfig } from "../config.ts";

/** Real time, but nobody waits for backoffs. */
export const impatientClock: Clock = {
  now: systemClock.now,
  monotonic: systemClock.monotonic,
  sleep: (_ms, signal) => systemClock.sleep(1, signal),
};

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "sluice-model-source-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

type Value = { type: 4; value: number } | { type: 8; value: string } | { type: 9; value: readonly string[] };

/** A GGUF header with these keys, then `padding` bytes that do not compress. */
export function fakeGguf(keys: Readonly<Record<string, Value>> = {}, padding = 0, seed = 1): Buffer {
  const entries = Object.entries(keys);
  const head = Buffer.alloc(24);
  head.write("GGUF", 0, "latin1");
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(BigInt(entries.length), 16);
  const pairs = entries.map(([key, value]) => Buffer.concat([ggufString(key), uint32(value.type), encode(value)]));
  return Buffer.concat([head, ...pairs, noise(padding, seed)]);
}

function encode(value: Value): Buffer {
  if (value.type === 4) return uint32(value.value);
  if (value.type === 8) return ggufString(value.value);
  return Buffer.concat([uint32(8), uint64(value.value.length), ...value.value.map(ggufString)]);
}

function ggufString(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export interface ZipFile {
  readonly name: string;
  readonly content: Buffer;
  /** 0 stored, 8 deflated; anything else is only claimed. */
  readonly method?: number;
}

/** A zip archive of these files, with an end-of-archive comment. */
export function fakeZip(files: readonly ZipFile[], comment = ""): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const { name, content, method = 8 } of files) {
    const data = method === 8 ? deflateRawSync(content) : content;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(crc32(content), 14);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(content.length, 22);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    // The local header's extra field differs from the central one's, as real archives have it.
    local.writeUInt16LE(4, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    local.copy(central, 10, 8, 28);
    central.writeUInt16LE(Buffer.byteLength(name), 28);
    central.writeUInt32LE(offset, 42);
    centrals.push(central, Buffer.from(name));
    locals.push(local, Buffer.from(name), Buffer.alloc(4), data);
    offset += local.length + Buffer.byteLength(name) + 4 + data.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...locals, directory, end, Buffer.from(comment)]);
}

/** A config that reaches nothing outside of the test. */
export function fakeConfig(cacheDir: string, overrides: Partial<ModelSourceConfig> = {}): ModelSourceConfig {
  return {
    cacheDir,
    hubEndpoint: "http://127.0.0.1:9",
    hubToken: undefined,
    offline: false,
    pythons: ["python3"],
    environment: { PATH: "/nowhere" },
    ...overrides,
  };
}

export const fakePackage: PackageSource = {
  kind: "package",
  name: "fake-model",
  version: "1.0",
  wheelSha256: "0".repeat(64),
  wheelBytes: 4_096,
  member: "fake_model/tiny.gguf",
};

/** A catalogue of one model, `tiny`, whose content is `gguf`. */
export function fakeCatalogue(gguf: Buffer, sources: readonly Source[] = [fakePackage]): readonly CatalogueEntry[] {
  const facts = { sha256: sha256(gguf), bytes: gguf.length, quantization: "Q4_1", license: "MIT", ownedBy: "tests" };
  return [{ id: "tiny", file: "tiny.gguf", sources, description: "a test", ...facts }];
}
