// Answers with a generation as one JSON body; when that takes long, the head goes out early and spaces keep it alive.
import type { AccessRecord } from "./access-log.ts";
import type { Clock } from "./clock.ts";
import { ApiError } from "./errors.ts";
import type { Generation } from "./generate.ts";
import type { BodyWriter } from "./wire/dialect.ts";

/**
 * After the prompt is in the model, an answer that takes longer than this gets its 200 and one space a second: JSON
 * allows white space, clients and proxies see life, and a hang-up is noticed. A failure after that is an error body
 * under that 200.
 */
const COMMIT_AFTER_MS = 1000;
const SPACE_EVERY_MS = 1000;
const SPACE = new TextEncoder().encode(" ");

const JSON_HEADERS = { "content-type": "application/json" };
/**
 * A compressor or a buffer on the way would hold the spaces back: no life would be seen, and no hang-up noticed.
 * Cloudflare heeds no-transform; local workerd compresses whatever names no encoding of its own.
 */
const LATE_HEADERS = {
  ...JSON_HEADERS,
  "cache-control": "no-transform",
  "content-encoding": "identity",
  "x-accel-buffering": "no",
};

export interface UnaryOptions {
  clock: Clock;
  access: AccessRecord;
  clientSignal: AbortSignal;
}

/**
 * The response to a generation that is not streamed.
 *
 * @throws ApiError when it fails before the head is out.
 */
export async function respondUnary(
  generation: Generation,
  writer: BodyWriter,
  options: UnaryOptions,
): Promise<Response> {
  const slow = Promise.withResolvers<"slow">();
  let cancelTimer = (): void => undefined;
  const folded = fold(generation, writer, () => {
    cancelTimer = options.clock.after(COMMIT_AFTER_MS, () => slow.resolve("slow"));
  });
  try {
    const first = await Promise.race([folded, slow.promise]);
    return first === "slow"
      ? respondLate(generation, writer, folded, options)
      : new Response(first.body, { headers: JSON_HEADERS });
  } catch (error) {
    // Also when it was not the generation that failed: nobody reads its events any more.
    generation.cancel();
    throw error;
  } finally {
    cancelTimer();
  }
}

async function fold(generation: Generation, writer: BodyWriter, onPrefilled: () => void): Promise<{ body: string }> {
  for (let events = await generation.next(); events; events = await generation.next()) {
    for (const event of events) {
      writer.event(event);
      if (event.event.case === "prefilled") onPrefilled();
    }
  }
  return { body: writer.body() };
}

/** Sends the head now, a space a second until the work is done, and then its body, or that of its failure. */
export function respondLate(
  generation: Pick<Generation, "cancel">,
  writer: Pick<BodyWriter, "failure">,
  folded: Promise<{ body: string }>,
  options: UnaryOptions,
): Response {
  const { readable, writable } = new IdentityTransformStream();
  const sink = writable.getWriter();
  const { access, clock, clientSignal } = options;
  access.defer();
  const end = (error: ApiError | undefined): void => {
    stopSpaces();
    clientSignal.removeEventListener("abort", hangUp);
    if (error !== undefined) {
      access.fail(error);
      generation.cancel();
    }
    access.end(200);
  };
  // After a hang-up workerd runs this and no pending await, so it does all there is to do.
  const hangUp = (): void => end(new ApiError("canceled"));
  const space = (): void => {
    sink.write(SPACE).catch(hangUp);
  };
  const stopSpaces = clock.every(SPACE_EVERY_MS, space);
  clientSignal.addEventListener("abort", hangUp, { once: true });
  space();
  void finish(sink, folded, writer, end);
  return new Response(readable, { headers: LATE_HEADERS });
}

async function finish(
  sink: WritableStreamDefaultWriter<Uint8Array>,
  folded: Promise<{ body: string }>,
  writer: Pick<BodyWriter, "failure">,
  end: (error: ApiError | undefined) => void,
): Promise<void> {
  let text: string;
  try {
    text = (await folded).body;
    end(undefined);
  } catch (thrown) {
    const error = ApiError.from(thrown);
    end(error);
    text = writer.failure(error);
  }
  try {
    await sink.write(new TextEncoder().encode(text));
    await sink.close();
  } catch {
    // The client went away; the log already says how it ended.
  }
}
