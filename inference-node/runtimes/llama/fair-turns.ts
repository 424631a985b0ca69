// Lets the inputs of several requests take turns, so that a long list keeps nobody waiting for its end.

/** One request's jobs that have not begun. */
interface Batch {
  next: number;
  readonly count: number;
  readonly start: (index: number) => Promise<void>;
}

export interface FairTurnsOptions {
  /** Jobs at once, asked anew each time. */
  readonly width: () => number;
}

/** Each request's next job in turn; the requests themselves are bounded by whoever admits them. */
export class FairTurns {
  readonly #options: FairTurnsOptions;
  /** In the order of their turns. */
  readonly #batches: Batch[] = [];
  #running = 0;

  constructor(options: FairTurnsOptions) {
    this.#options = options;
  }

  /**
   * Does `count` jobs and gives what they gave, in their order. The first failure, or an abort, ends the request: no
   * further job of it begins, and those that run are not waited for.
   */
  run<T>(count: number, job: (index: number) => Promise<T>, signal: AbortSignal): Promise<T[]> {
    const { promise, resolve, reject } = Promise.withResolvers<T[]>();
    const results: T[] = new Array(count);
    let left = count;
    const leave = (): void => {
      const at = this.#batches.indexOf(batch);
      if (at >= 0) this.#batches.splice(at, 1);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (reason: unknown): void => {
      leave();
      reject(reason);
    };
    const onAbort = (): void => fail(signal.reason);
    const start = async (index: number): Promise<void> => {
      try {
        results[index] = await job(index);
        left -= 1;
        if (left > 0) return;
        leave();
        resolve(results);
      } catch (thrown) {
        fail(thrown);
      }
    };
    const batch: Batch = { next: 0, count, start };
    if (signal.aborted) onAbort();
    else if (count === 0) resolve([]);
    else {
      signal.addEventListener("abort", onAbort, { once: true });
      this.#batches.push(batch);
      this.#pump();
    }
    return promise;
  }

  #pump(): void {
    while (this.#running < Math.max(1, this.#options.width())) {
      const batch = this.#batches.shift();
      if (batch === undefined) return;
      const index = batch.next++;
      if (batch.next < batch.count) this.#batches.push(batch);
      this.#running += 1;
      void batch.start(index).finally(() => {
        this.#running -= 1;
        this.#pump();
      });
    }
  }
}
