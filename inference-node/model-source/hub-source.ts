// Downloads a model from the Hugging Face hub: resumed after a break, hashed while it comes, checked at the end.
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HubSource } from "./catalogue.ts";
import { hasGgufMagic } from "./gguf.ts";
import { type HubAnswer, openHubFile, TransientHubError } from "./hub-request.ts";
import { aborted, explainIo, ModelError } from "./model-error.ts";
import { formatHub } from "./reference.ts";
import { ensureSpace, type FetchContext, type FetchedFile } from "./source.ts";

/** A connection that sends nothing for so long counts as broken. */
const STALL_MS = 30_000;
/** Tries in a row that bring nothing new before we give up: more once the hub has answered. */
const TRIES_UNREACHABLE_MAX = 3;
const TRIES_ANSWERED_MAX = 6;
const BACKOFF_MS = [500, 1_000, 2_000, 4_000, 8_000] as const;
const SPARE_BYTES = 16 * 1024 * 1024;

/** The download so far; survives its process, so that another can go on. */
interface Partial {
  readonly file: string;
  readonly note: string;
}

/**
 * Downloads the file into `stage`. A break is resumed, also by a later call; a wrong checksum begins again once.
 * Throws a ModelError.
 */
export async function fetchFromHub(source: HubSource, stage: string, context: FetchContext): Promise<FetchedFile> {
  const partial: Partial = { file: join(stage, "hub.part"), note: join(stage, "hub.json") };
  try {
    await mkdir(stage, { recursive: true });
    for (let round = 0; ; round++) {
      const { file, expected } = await downloadAll(source, partial, context);
      if (expected === undefined || expected === file.sha256) return file;
      await discard(partial);
      if (round === 0) continue;
      throw new ModelError(
        "checksum_mismatch",
        `the hub sent ${formatHub(source)} damaged twice (its checksum is wrong)`,
        "check the network and any proxy between, then try again",
      );
    }
  } catch (error) {
    if (context.signal.aborted) throw aborted(error);
    throw explainIo(error, stage);
  }
}

/** Tries until the whole file is there. Only tries in a row without a new byte count against the bound. */
async function downloadAll(
  source: HubSource,
  partial: Partial,
  context: FetchContext,
): Promise<{ file: FetchedFile; expected: string | undefined }> {
  for (let fruitless = 1; ; fruitless++) {
    const before = await sizeOf(partial.file);
    try {
      return await downloadOnce(source, partial, context);
    } catch (error) {
      if (!(error instanceof TransientHubError)) throw error;
      const after = await sizeOf(partial.file);
      if (after > before) fruitless = 0;
      const bound = error.answered ? TRIES_ANSWERED_MAX : TRIES_UNREACHABLE_MAX;
      if (fruitless >= bound) throw unreachable(error, source, context);
      const backoff = BACKOFF_MS[Math.min(Math.max(fruitless - 1, 0), BACKOFF_MS.length - 1)] ?? 0;
      await context.clock.sleep(error.retryAfterMs ?? backoff, context.signal);
    }
  }
}

async function downloadOnce(
  source: HubSource,
  partial: Partial,
  context: FetchContext,
): Promise<{ file: FetchedFile; expected: string | undefined }> {
  const stall = new Watchdog(STALL_MS);
  const signal = AbortSignal.any([context.signal, stall.signal]);
  try {
    const held = await sizeOf(partial.file);
    let answer = await openHubFile(source, held, context.config, signal).catch(async (error: unknown) => {
      if (error instanceof TransientHubError && error.retryAfterMs === 0) await discard(partial);
      throw error;
    });
    if (answer.offset > 0 && answer.etag !== (await readEtag(partial.note))) {
      // What we hold is the beginning of another file.
      await discard(partial);
      answer = await openHubFile(source, 0, context.config, signal);
    }
    return { file: await receive(answer, source, partial, stall, context), expected: answer.sha256 };
  } catch (error) {
    context.signal.throwIfAborted();
    if (stall.signal.aborted) throw new TransientHubError("the hub sends nothing any more", false, undefined, error);
    throw error;
  } finally {
    stall.stop();
  }
}

async function receive(
  answer: HubAnswer,
  source: HubSource,
  partial: Partial,
  stall: Watchdog,
  context: FetchContext,
): Promise<FetchedFile> {
  if (answer.totalBytes !== undefined) {
    await ensureSpace(join(partial.file, ".."), answer.totalBytes - answer.offset + SPARE_BYTES);
  }
  await writeFile(partial.note, JSON.stringify({ etag: answer.etag }));
  const hash = createHash("sha256");
  if (answer.offset > 0) await hashPrefix(partial.file, answer.offset, hash, stall);
  const file = await open(partial.file, answer.offset > 0 ? "r+" : "w");
  try {
    const bytes = await append(file, answer, hash, source, stall, context);
    if (answer.totalBytes !== undefined && bytes !== answer.totalBytes) {
      throw new TransientHubError("the connection to the hub broke", false);
    }
    await file.sync();
    return { path: partial.file, sha256: hash.digest("hex"), bytes };
  } finally {
    await file.close();
  }
}

async function append(
  file: FileHandle,
  answer: HubAnswer,
  hash: Hash,
  source: HubSource,
  stall: Watchdog,
  context: FetchContext,
): Promise<number> {
  let at = answer.offset;
  for await (const chunk of bodyOf(answer)) {
    stall.feed();
    if (at === 0 && !hasGgufMagic(chunk)) {
      throw new ModelError(
        "not_a_gguf",
        `what the hub sends for ${formatHub(source)} is not a GGUF file`,
        "check the name, and that no proxy or sign-in page answers in the hub's place",
      );
    }
    hash.update(chunk);
    for (let written = 0; written < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, written, chunk.length - written, at + written);
      written += bytesWritten;
    }
    at += chunk.length;
    context.onProgress({ phase: "downloading", doneBytes: at, totalBytes: answer.totalBytes });
  }
  return at;
}

/** The body's chunks; the first holds at least the magic's four bytes when the body does, and a break is transient. */
async function* bodyOf(answer: HubAnswer): AsyncGenerator<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  let begun = answer.offset > 0;
  try {
    for await (const chunk of answer.body) {
      if (begun) {
        yield chunk;
        continue;
      }
      head = Buffer.concat([head, chunk]);
      if (head.length < 4) continue;
      begun = true;
      yield head;
    }
  } catch (error) {
    throw new TransientHubError("the connection to the hub broke", false, undefined, error);
  }
  if (begun) return;
  if (head.length < (answer.totalBytes ?? 0)) throw new TransientHubError("the connection to the hub broke", false);
  yield head;
}

async function hashPrefix(path: string, bytes: number, hash: Hash, stall: Watchdog): Promise<void> {
  for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: 1024 * 1024 })) {
    hash.update(chunk);
    stall.feed();
  }
}

async function discard(partial: Partial): Promise<void> {
  await rm(partial.file, { force: true });
  await rm(partial.note, { force: true });
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (file) => file.size,
    () => 0,
  );
}

async function readEtag(path: string): Promise<string | undefined> {
  try {
    const note: unknown = JSON.parse(await readFile(path, "utf8"));
    return typeof note === "object" && note !== null && "etag" in note && typeof note.etag === "string"
      ? note.etag
      : undefined;
  } catch {
    return undefined;
  }
}

function unreachable(error: TransientHubError, source: HubSource, context: FetchContext): ModelError {
  if (error.answered) {
    return new ModelError(
      "hub_failed",
      `${formatHub(source)} can't be downloaded: ${error.message}`,
      "try again later",
      error,
    );
  }
  const { host } = new URL(context.config.hubEndpoint);
  return new ModelError(
    "no_network",
    `the hub ${host} can't be reached`,
    "connect this machine to the network, or set HF_ENDPOINT to a mirror",
    error,
  );
}

/** Aborts its signal when it is not fed for a while. */
class Watchdog {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  #timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  feed(): void {
    this.#timer.refresh();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => this.#controller.abort(new Error("stalled")), this.#timeoutMs).unref();
  }
}
