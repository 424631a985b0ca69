// Turns the service's pushed events into the pulled ones that connect wants, one event at a time.
import type { GenerateEvent } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { WriteEvent } from "../call.ts";
import { Code, NodeError } from "../node-error.ts";

/** Events that may lie between producer and reader before the producer waits. */
const bufferedMax = 16;

/** Runs `produce` and yields what it writes; throws what it rejects with. The signal frees a producer that waits. */
export async function* pipeEvents(
  produce: (write: WriteEvent) => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const buffered: GenerateEvent[] = [];
  let wakeReader: (() => void) | undefined;
  let writer: PromiseWithResolvers<void> | undefined;
  let ended = false;
  let left = false;
  const wake = (): void => {
    wakeReader?.();
    wakeReader = undefined;
  };
  const write: WriteEvent = (event) => {
    // Nobody would ever make room again: a producer that waited for it would wait for ever.
    if (left) throw callerGone();
    buffered.push(event);
    wake();
    if (buffered.length < bufferedMax) return undefined;
    writer ??= Promise.withResolvers<void>();
    return writer.promise;
  };
  const onAbort = (): void => {
    left = true;
    writer?.promise.catch(() => undefined);
    writer?.reject(callerGone());
  };
  signal.addEventListener("abort", onAbort, { once: true });
  const produced = produce(write).finally(() => {
    ended = true;
    wake();
  });
  produced.catch(() => undefined); // It is awaited below; a reader that left first does not care.
  try {
    while (true) {
      const event = buffered.shift();
      if (event !== undefined) {
        yield event;
      } else if (ended) {
        return await produced;
      } else {
        writer?.resolve();
        writer = undefined;
        await new Promise<void>((resolve) => {
          wakeReader = resolve;
        });
      }
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    onAbort();
  }
}

function callerGone(): NodeError {
  return new NodeError(Code.CANCELLED, "The caller went away.");
}
