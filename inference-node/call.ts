// What a door tells the service of a call, and how to wait without outliving it.
import type { GenerateEvent } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Clock } from "./clock.ts";
import { Code, NodeError } from "./node-error.ts";

/** One call, whatever door it came through. */
export interface Call {
  /** Aborted when the caller hangs up or its deadline passes. */
  readonly signal: AbortSignal;
  /** When the caller gives up, on the node's monotonic clock. */
  readonly deadlineAt: number | undefined;
  /** The W3C trace context that came with it. */
  readonly traceparent: string | undefined;
}

/**
 * Sends an event to the caller. Returns a promise when the caller reads too slowly: it resolves when more may be
 * written, and rejects when the call is over.
 */
export type WriteEvent = (event: GenerateEvent) => Promise<void> | undefined;

// A door's timer may fire a little early by the node's own clock.
const deadlineSlackMs = 5;

/** Why a call's signal was aborted: DEADLINE_EXCEEDED when its time is over, else CANCELLED. */
export function abortError(call: Call, clock: Clock): NodeError {
  const late = call.deadlineAt !== undefined && clock.monotonic() >= call.deadlineAt - deadlineSlackMs;
  return late
    ? new NodeError(Code.DEADLINE_EXCEEDED, "The deadline passed.")
    : new NodeError(Code.CANCELLED, "The caller went away.");
}

/** Resolves or rejects as `work` does, or rejects with the signal's reason when that comes first. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
