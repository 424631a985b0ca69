// Streams one member out of a zip file, by its central directory, without holding the file in memory.
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PassThrough, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";

// Signatures and field offsets: PKWARE APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
const END_OF_CENTRAL_DIRECTORY = 0x06054b50;
const CENTRAL_HEADER = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 0xffff;
const CENTRAL_HEADER_BYTES = 46;
const LOCAL_HEADER_BYTES = 30;
/** More than any wheel's list of files; a bound, since the number comes from the file. */
const DIRECTORY_BYTES_MAX = 64 * 1024 * 1024;
const METHOD_STORED = 0;
const METHOD_DEFLATED = 8;

export interface ExtractOptions {
  readonly zip: string;
  readonly member: string;
  /** Where to write; must not exist. */
  readonly target: string;
  /** Larger output ends in an error: a small zip can hold a huge file. */
  readonly bytesMax: number;
  readonly signal: AbortSignal;
  readonly onBytes: (done: number) => void;
}

interface Member {
  readonly method: number;
  readonly compressedBytes: number;
  readonly headerOffset: number;
}

/** Writes the member to `target`; resolves to its size and lower-case hex SHA-256. Throws an Error that says what is wrong with the zip. */
export async function extractZipMember(options: ExtractOptions): Promise<{ bytes: number; sha256: string }> {
  const { start, member } = await locate(options.zip, options.member);
  if (member.method !== METHOD_STORED && member.method !== METHOD_DEFLATED) {
    throw new Error(`${options.member} is compressed by method ${member.method}, which is not supported`);
  }
  const hash = createHash("sha256");
  let bytes = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > options.bytesMax) return done(new Error(`${options.member} is larger than it should be`));
      hash.update(chunk);
      options.onBytes(bytes);
      done(null, chunk);
    },
  });
  await pipeline(
    member.compressedBytes === 0
      ? new PassThrough().end()
      : createReadStream(options.zip, { start, end: start + member.compressedBytes - 1 }),
    member.method === METHOD_DEFLATED ? createInflateRaw() : new PassThrough(),
    measure,
    createWriteStream(options.target, { flags: "wx", flush: true }),
    { signal: options.signal },
  );
  return { bytes, sha256: hash.digest("hex") };
}

async function locate(zip: string, name: string): Promise<{ start: number; member: Member }> {
  const file = await open(zip, "r");
  try {
    return await locateIn(file, name);
  } finally {
    await file.close();
  }
}

async function locateIn(file: FileHandle, name: string): Promise<{ start: number; member: Member }> {
  const member = findMember(await readDirectory(file), name);
  if (member === undefined) throw new Error(`the archive has no ${name}`);
  // The local header repeats the name and has an extra field of its own length.
  const local = await readExactly(file, member.headerOffset, LOCAL_HEADER_BYTES);
  if (local.readUInt32LE(0) !== LOCAL_HEADER) throw new Error("the archive's local header is damaged");
  const start = member.headerOffset + LOCAL_HEADER_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
  return { start, member };
}

async function readDirectory(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const tailBytes = Math.min(size, END_BYTES + COMMENT_BYTES_MAX);
  const tail = await readExactly(file, size - tailBytes, tailBytes);
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END_OF_CENTRAL_DIRECTORY) continue;
    const bytes = tail.readUInt32LE(at + 12);
    const offset = tail.readUInt32LE(at + 16);
    if (bytes > DIRECTORY_BYTES_MAX) throw new Error("the archive's directory is too large");
    return readExactly(file, offset, bytes);
  }
  throw new Error("the file is no zip archive, or a cut one");
}

function findMember(directory: Buffer, name: string): Member | undefined {
  for (let at = 0; at + CENTRAL_HEADER_BYTES <= directory.length; ) {
    if (directory.readUInt32LE(at) !== CENTRAL_HEADER) throw new Error("the archive's directory is damaged");
    const nameBytes = directory.readUInt16LE(at + 28);
    const nameAt = at + CENTRAL_HEADER_BYTES;
    if (directory.toString("utf8", nameAt, nameAt + nameBytes) === name) {
      return {
        method: directory.readUInt16LE(at + 10),
        compressedBytes: directory.readUInt32LE(at + 20),
        headerOffset: directory.readUInt32LE(at + 42),
      };
    }
    at = nameAt + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return undefined;
}

async function readExactly(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, offset + done);
    if (bytesRead === 0) throw new Error("the archive is cut short");
    done += bytesRead;
  }
  return buffer;
}
