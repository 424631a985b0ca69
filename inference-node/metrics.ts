// Counters, gauges and histograms in Prometheus' text format; names keep vLLM's meanings under the prefix sluice_.

/** Label values by label name. Values must come from small closed sets: models, codes, reasons. */
type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  render(lines: string[]): void;
}

/** A number that only rises. */
export interface Counter {
  add(amount: number, labels?: Labels): void;
}

/** The distribution of observed values. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** One sample of a gauge at the time of a scrape. */
export interface GaugeSample {
  labels: Labels;
  value: number;
}

/** Upper bounds of latency buckets, in seconds. */
const latencyBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** Holds metric families and writes them out. */
export class MetricRegistry {
  readonly #families: Family[] = [];

  counter(name: string, help: string): Counter {
    const values = new Map<string, number>();
    this.#families.push({
      name,
      render: (lines) => {
        header(lines, name, help, "counter");
        for (const [labels, value] of values) lines.push(`${name}${labels} ${value}`);
      },
    });
    return {
      add: (amount, labels = {}) => {
        const key = renderLabels(labels);
        values.set(key, (values.get(key) ?? 0) + amount);
      },
    };
  }

  /** A value that is read when somebody looks. */
  gauge(name: string, help: string, read: () => readonly GaugeSample[]): void {
    this.#families.push({
      name,
      render: (lines) => {
        header(lines, name, help, "gauge");
        for (const { labels, value } of read()) lines.push(`${name}${renderLabels(labels)} ${value}`);
      },
    });
  }

  /** A histogram of seconds. */
  histogram(name: string, help: string): Histogram {
    const series = new Map<string, Series>();
    this.#families.push({
      name,
      render: (lines) => {
        header(lines, name, help, "histogram");
        for (const one of series.values()) renderSeries(lines, name, one);
      },
    });
    return {
      observe: (value, labels = {}) => {
        const key = renderLabels(labels);
        let one = series.get(key);
        if (one === undefined) {
          one = { labels, counts: new Array<number>(latencyBuckets.length + 1).fill(0), sum: 0 };
          series.set(key, one);
        }
        const found = latencyBuckets.findIndex((bound) => value <= bound);
        const bucket = found === -1 ? latencyBuckets.length : found;
        one.counts[bucket] = (one.counts[bucket] ?? 0) + 1;
        one.sum += value;
      },
    };
  }

  /** All families in Prometheus' text format 0.0.4. */
  render(): string {
    const lines: string[] = [];
    for (const family of this.#families) family.render(lines);
    return `${lines.join("\n")}\n`;
  }
}

interface Series {
  labels: Labels;
  /** Observations in each bucket, the last being those above every bound. */
  counts: number[];
  sum: number;
}

function renderSeries(lines: string[], name: string, { labels, counts, sum }: Series): void {
  let cumulative = 0;
  for (const [index, count] of counts.entries()) {
    cumulative += count;
    const le = index < latencyBuckets.length ? String(latencyBuckets[index]) : "+Inf";
    lines.push(`${name}_bucket${renderLabels({ ...labels, le })} ${cumulative}`);
  }
  lines.push(`${name}_sum${renderLabels(labels)} ${sum}`, `${name}_count${renderLabels(labels)} ${cumulative}`);
}

function header(lines: string[], name: string, help: string, type: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
