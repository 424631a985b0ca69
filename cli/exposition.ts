// Reads Prometheus' text format, and what two readings of it say about the time between them.

/** The samples of each name; what a histogram has comes under its _bucket, _sum and _count. */
export type Scrape = ReadonlyMap<string, readonly Sample[]>;

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads what is a sample and passes over the rest. */
export function readScrape(text: string): Scrape {
  const scrape = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (match === null) continue;
    const [, name = "", labels = "", value = ""] = match;
    const samples = scrape.get(name) ?? [];
    samples.push({ labels: readLabels(labels), value: Number(value.replace("Inf", "Infinity")) });
    scrape.set(name, samples);
  }
  return scrape;
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = "", value = ""] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
  }
  return labels;
}

/** The sum of a model's samples of one name; undefined when there is none. */
export function sumOf(scrape: Scrape, name: string, model?: string): number | undefined {
  const found = (scrape.get(name) ?? []).filter(({ labels }) => model === undefined || labels.model_name === model);
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}

/** How much a counter rose; one that fell began anew, with its process. */
export function rise(before: number | undefined, after: number | undefined): number {
  const [from, to] = [before ?? 0, after ?? 0];
  return to < from ? to : to - from;
}

/**
 * A quantile of what a histogram took between two readings, or since its beginning without a first one: by interpolation
 * within the bucket, as Prometheus does it. Undefined when it took nothing.
 */
export function quantileOf(
  q: number,
  name: string,
  model: string,
  after: Scrape,
  before: Scrape = new Map(),
): number | undefined {
  const earlier = bucketsOf(before, name, model);
  const buckets = [...bucketsOf(after, name, model)]
    .map(([bound, count]) => ({ bound, count: rise(earlier.get(bound), count) }))
    .sort((a, b) => a.bound - b.bound);
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return undefined;
  const rank = q * total;
  const index = buckets.findIndex(({ count }) => count >= rank);
  const [found, below] = [buckets[index], buckets[index - 1]];
  if (found === undefined) return undefined;
  const floor = below ?? { bound: 0, count: 0 };
  if (found.bound === Number.POSITIVE_INFINITY) return floor.bound;
  return floor.bound + ((found.bound - floor.bound) * (rank - floor.count)) / Math.max(1, found.count - floor.count);
}

function bucketsOf(scrape: Scrape, name: string, model: string): Map<number, number> {
  const buckets = new Map<number, number>();
  for (const { labels, value } of scrape.get(`${name}_bucket`) ?? []) {
    if (labels.model_name === model) buckets.set(Number((labels.le ?? "").replace("Inf", "Infinity")), value);
  }
  return buckets;
}
