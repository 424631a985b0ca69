// Writes a generation as Server-Sent Events, with heartbeats, which are also how a hang-up is noticed.
import type { AccessRecord } from "./access-log.ts";
import type { Clock } from "./clock.ts";
import { ApiError } from "./errors.ts";
import type { Generation } from "./generate.ts";
import type { StreamWriter } from "./wire/dialect.ts";

/** A comment, which every SSE parser drops (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
const PING = new TextEncoder().encode(": ping\n\n");
/** workerd notices a hang-up only when it writes: until tokens flow, these are the only writes. */
const PING_EARLY_MS = 250;
/** Once tokens flow: no proxy sees more than 15 s of silence. */
const PING_LATE_MS = 15_000;
const PING_LATE_CHECK_MS = 5000;

const SSE_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

export interface StreamOptions {
  clock: Clock;
  access: AccessRecord;
  clientSignal: AbortSignal;
}

/** Answers with the generation's stream; returns at once, and the access log is written when the last byte is. */
export function respondStream(generation: Generation, writer: StreamWriter, options: StreamOptions): Response {
  // Native: half the cost of a stream whose source is JavaScript, and without a buffer that would hide a slow reader.
  const { readable, writable } = new IdentityTransformStream();
  options.access.defer();
  const stream = new EventStream(generation, writer, writable.getWriter(), options);
  // Not in waitUntil, which would keep the request alive after a hang-up; the open body keeps it alive until then.
  void stream.run();
  return new Response(readable, { headers: SSE_HEADERS });
}

class EventStream {
  readonly #generation: Generation;
  readonly #writer: StreamWriter;
  readonly #sink: WritableStreamDefaultWriter<Uint8Array>;
  readonly #options: StreamOptions;
  readonly #encoder = new TextEncoder();
  readonly #hangUp = (): void => this.#end(new ApiError("canceled"));
  #stopHeartbeat: () => void;
  #lastWriteAt: number;
  #early = true;
  #ended = false;
  #writing = false;

  constructor(
    generation: Generation,
    writer: StreamWriter,
    sink: WritableStreamDefaultWriter<Uint8Array>,
    options: StreamOptions,
  ) {
    this.#generation = generation;
    this.#writer = writer;
    this.#sink = sink;
    this.#options = options;
    this.#lastWriteAt = options.clock.now();
    this.#stopHeartbeat = options.clock.every(PING_EARLY_MS, () => this.#ping());
    // After a hang-up workerd runs this and no pending await, so it does all there is to do.
    options.clientSignal.addEventListener("abort", this.#hangUp, { once: true });
  }

  async run(): Promise<void> {
    try {
      for (let events = await this.#generation.next(); events; events = await this.#generation.next()) {
        let text = "";
        for (const event of events) text += this.#writer.event(event);
        if (text !== "") await this.#write(text);
      }
      this.#end(undefined);
      await this.#sink.close();
    } catch (thrown) {
      await this.#fail(ApiError.from(thrown));
    }
  }

  async #write(text: string): Promise<void> {
    if (this.#early) this.#slowDown();
    this.#lastWriteAt = this.#options.clock.now();
    this.#writing = true;
    try {
      await this.#sink.write(this.#encoder.encode(text));
    } catch (error) {
      throw new ApiError("canceled", undefined, { cause: error });
    } finally {
      this.#writing = false;
    }
  }

  #slowDown(): void {
    this.#early = false;
    this.#stopHeartbeat();
    this.#stopHeartbeat = this.#options.clock.every(PING_LATE_CHECK_MS, () => {
      const silentMs = this.#options.clock.now() - this.#lastWriteAt;
      if (silentMs + PING_LATE_CHECK_MS > PING_LATE_MS) this.#ping();
    });
  }

  /** Only whole events are ever written, so a comment always falls between two. */
  #ping(): void {
    // A reader that has not taken the last write needs no other; and pings must not pile up before it.
    if (this.#writing) return;
    this.#writing = true;
    this.#lastWriteAt = this.#options.clock.now();
    this.#sink.write(PING).then(() => {
      this.#writing = false;
    }, this.#hangUp);
  }

  async #fail(error: ApiError): Promise<void> {
    const ended = this.#ended;
    this.#end(error);
    if (ended || error.code === "canceled") {
      await this.#sink.abort(error).catch(() => undefined);
      return;
    }
    try {
      await this.#sink.write(this.#encoder.encode(this.#writer.failure(error)));
      await this.#sink.close();
    } catch {
      // The client went away before it could be told.
    }
  }

  /** Stops everything and writes the log line; only the first call does. */
  #end(error: ApiError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopHeartbeat();
    this.#options.clientSignal.removeEventListener("abort", this.#hangUp);
    if (error !== undefined) {
      this.#options.access.fail(error);
      this.#generation.cancel();
    }
    this.#options.access.end(200);
  }
}
