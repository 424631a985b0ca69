// Counters, gauges and histograms in Prometheus' text format; names keep vLLM's meanings under the prefix sluice_.

/** Label values by label name. Values must come from small closed sets: models, codes, reasons. */
export type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  render(lines: string[]): void;
}

/** A number that only rises. */
export interface Counter {
  add(amount: number, labels?: Labels): void;
  /** The series of these labels: cheap to add to, for what happens at each token. */
  series(labels: Labels): { add(amount: number): void };
}

/** One series of a histogram: cheap to observe, for what happens at each token. */
export interface Observer {
  /** Takes a value, or the same value so many times. */
  observe(value: number, times?: number): void;
}

/** The distribution of observed values. */
export interface Histogram {
  observe(value: number, labels?: Labels): void;
  /** The series of these labels. */
  series(labels: Labels): Observer;
}

/** One sample of a gauge at the time of a scrape. */
export interface GaugeSample {
  labels: Labels;
  value: number;
}

/** Label sets that are written from the start, with zeros: a rate has something to begin from. */
type Seeds = () => readonly Labels[];
const noSeeds: Seeds = () => [];

/** Holds metric families and writes them out. */
export class MetricRegistry {
  readonly #families: Family[] = [];

  counter(name: string, help: string, seeds: Seeds = noSeeds): Counter {
    const all = new Map<string, CounterSeries>();
    const series = (labels: Labels): CounterSeries => {
      const key = renderLabels(labels);
      const one = all.get(key) ?? new CounterSeries();
      all.set(key, one);
      return one;
    };
    this.#families.push({
      name,
      render: (lines) => {
        header(lines, name, help, "counter");
        for (const labels of seeds()) series(labels);
        for (const [labels, { value }] of all) lines.push(`${name}${labels} ${renderValue(value)}`);
      },
    });
    return { add: (amount, labels = {}) => series(labels).add(amount), series };
  }

  /** A value that is read when somebody looks. */
  gauge(name: string, help: string, read: () => readonly GaugeSample[]): void {
    this.#sampled(name, help, "gauge", read);
  }

  /** A number that only rises and is counted elsewhere. */
  readCounter(name: string, help: string, read: () => readonly GaugeSample[]): void {
    this.#sampled(name, help, "counter", read);
  }

  /** `bounds` are the upper bounds of its buckets, rising, without the infinite one. */
  histogram(name: string, help: string, bounds: readonly number[], seeds: Seeds = noSeeds): Histogram {
    const all = new Map<string, Series>();
    const series = (labels: Labels): Series => {
      const key = renderLabels(labels);
      const one = all.get(key) ?? new Series(labels, bounds);
      all.set(key, one);
      return one;
    };
    this.#families.push({
      name,
      render: (lines) => {
        header(lines, name, help, "histogram");
        for (const labels of seeds()) series(labels);
        for (const one of all.values()) one.render(lines, name);
      },
    });
    return { observe: (value, labels = {}) => series(labels).observe(value), series };
  }

  /** All families in Prometheus' text format 0.0.4. */
  render(): string {
    const lines: string[] = [];
    for (const family of this.#families) family.render(lines);
    return `${lines.join("\n")}\n`;
  }

  #sampled(name: string, help: string, type: string, read: () => readonly GaugeSample[]): void {
    this.#families.push({
      name,
      render: (lines) => {
        header(lines, name, help, type);
        for (const { labels, value } of read()) lines.push(`${name}${renderLabels(labels)} ${renderValue(value)}`);
      },
    });
  }
}

class CounterSeries {
  value = 0;

  add(amount: number): void {
    this.value += amount;
  }
}

class Series implements Observer {
  readonly #labels: Labels;
  readonly #bounds: readonly number[];
  /** Observations in each bucket, the last being those above every bound. */
  readonly #counts: number[];
  #sum = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number, times = 1): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] as number) + times;
    this.#sum += value * times;
  }

  render(lines: string[], name: string): void {
    const labels = this.#labels;
    let cumulative = 0;
    for (const [index, count] of this.#counts.entries()) {
      cumulative += count;
      const le = index < this.#bounds.length ? String(this.#bounds[index]) : "+Inf";
      lines.push(`${name}_bucket${renderLabels({ ...labels, le })} ${cumulative}`);
    }
    lines.push(`${name}_sum${renderLabels(labels)} ${renderValue(this.#sum)}`);
    lines.push(`${name}_count${renderLabels(labels)} ${cumulative}`);
  }
}

function header(lines: string[], name: string, help: string, type: string): void {
  lines.push(`# HELP ${name} ${help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")}`, `# TYPE ${name} ${type}`);
}

function renderValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
