// What a scripted node is told so that a stream is slow and outlasts its hold.

/** Streams that have not begun after so long count as failed. */
export const beginMsMax = 60_000;

/** Chunks in one script: with their numbers they fit the scripted model's context. */
export const chunksMax = 10_000;

export interface SlowStream {
  readonly holdMs: number;
  readonly chunkDelayMs: number;
}

/** The script, and how many chunks it counts. */
export function scriptOf({ holdMs, chunkDelayMs }: SlowStream): { readonly prompt: string; readonly chunks: number } {
  const chunks = Math.ceil((beginMsMax + holdMs) / chunkDelayMs) + 1;
  return { prompt: JSON.stringify({ chunks, delay_ms: chunkDelayMs }), chunks };
}
