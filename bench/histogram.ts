// Keeps any number of durations in fixed memory, so that a long run measures itself without growing.

/** Buckets grow by this factor: a percentile is off by at most half a per cent. */
const growth = 1.01;
/** Durations up to this many milliseconds (1 µs) share the first bucket. */
const floorMs = 0.001;
/** Longer ones (an hour) share the last. */
const ceilingMs = 3_600_000;
const logGrowth = Math.log(growth);
const bucketCount = Math.ceil(Math.log(ceilingMs / floorMs) / logGrowth) + 2;

/** A histogram of milliseconds with 1 % wide buckets; count, sum, minimum and maximum are exact. */
export class Histogram {
  readonly #buckets = new Uint32Array(bucketCount);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  get count(): number {
    return this.#count;
  }

  /** NaN when nothing was recorded, like every other figure here. */
  get mean(): number {
    return this.#count === 0 ? Number.NaN : this.#sum / this.#count;
  }

  /** Records one duration in milliseconds; what is negative counts as 0, what is no number throws a RangeError. */
  record(ms: number): void {
    if (!Number.isFinite(ms)) throw new RangeError(`a duration must be a finite number of milliseconds, not ${ms}`);
    const value = Math.max(0, ms);
    const bucket = bucketOf(value);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#sum += value;
    this.#min = Math.min(this.#min, value);
    this.#max = Math.max(this.#max, value);
  }

  /** The nearest-rank percentile in milliseconds: `fraction` 0.5 is the median, 0 the minimum, 1 the maximum. */
  percentile(fraction: number): number {
    if (this.#count === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(fraction * this.#count));
    if (rank === this.#count) return this.#max;
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#buckets[bucket] ?? 0;
      if (seen >= rank) return Math.min(this.#max, Math.max(this.#min, middleOf(bucket)));
    }
    return this.#max;
  }
}

function bucketOf(ms: number): number {
  if (ms <= floorMs) return 0;
  return Math.min(bucketCount - 1, 1 + Math.floor(Math.log(ms / floorMs) / logGrowth));
}

/** The middle of a bucket, geometrically; the first holds what is too short to tell from nothing. */
function middleOf(bucket: number): number {
  return bucket === 0 ? 0 : floorMs * growth ** (bucket - 0.5);
}
