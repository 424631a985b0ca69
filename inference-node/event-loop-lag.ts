// How late the event loop was, over the last ten seconds: what keeps it is felt by every stream.
import { monitorEventLoopDelay } from "node:perf_hooks";

/** The delay is sampled so often; the histogram counts the interval itself in. */
const resolutionMs = 10;
const windowMs = 10_000;

export interface LoopLag {
  /** Seconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Begins to sample; gives the last full window, or what there is of the first one. Never keeps the process alive. */
export function watchEventLoop(): { read: () => LoopLag; stop: () => void } {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const seconds = (nanoseconds: number): number =>
    Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - resolutionMs / 1e3) : 0;
  const now = (): LoopLag => ({
    p50: seconds(histogram.percentile(50)),
    p99: seconds(histogram.percentile(99)),
    max: histogram.count === 0 ? 0 : seconds(histogram.max),
  });
  let last: LoopLag | undefined;
  const timer = setInterval(() => {
    last = now();
    histogram.reset();
  }, windowMs);
  timer.unref();
  const stop = (): void => {
    clearInterval(timer);
    histogram.disable();
  };
  return { read: () => last ?? now(), stop };
}
