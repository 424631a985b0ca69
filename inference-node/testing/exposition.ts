// Reads Prometheus' text format as strictly as promtool does, so that a test sees what a scraper would refuse.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const number = /^(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;

/**
 * The families by name. Throws for the first breach: a line that is none, a family without HELP and TYPE, split in two or
 * named twice, a series that comes twice, a counter below 0, a histogram whose buckets do not rise to its count.
 */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, Family>();
  const help = new Map<string, string>();
  let current: Family | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const meta = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (meta?.[1] === "HELP") help.set(once(help, meta[2] as string), meta[3] as string);
    else if (meta) current = open(families, help, meta[2] as string, meta[3] as string);
    else addSample(current, line);
  }
  for (const family of families.values()) checkFamily(family);
  return families;
}

/** The one sample with these labels; throws when there is none. */
export function sampleOf(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""));
  const wanted = JSON.stringify(Object.entries(labels).sort());
  const found = family?.samples.find(
    (sample) => sample.name === name && JSON.stringify(Object.entries(sample.labels).sort()) === wanted,
  );
  if (found === undefined) throw new Error(`no sample ${name} ${wanted}`);
  return found.value;
}

function once(seen: ReadonlyMap<string, unknown>, name: string): string {
  if (seen.has(name)) throw new Error(`${name} comes twice`);
  return name;
}

function open(families: Map<string, Family>, help: Map<string, string>, name: string, type: string): Family {
  if (!metricName.test(name)) throw new Error(`"${name}" is no name`);
  if (!/^(counter|gauge|histogram|summary|untyped)$/.test(type)) throw new Error(`${name} has the type "${type}"`);
  const said = help.get(name);
  if (said === undefined || said === "") throw new Error(`${name} has no HELP before its TYPE`);
  const family = { name: once(families, name), type, help: said, samples: [] };
  families.set(name, family);
  return family;
}

function addSample(family: Family | undefined, line: string): void {
  const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null || family === undefined) throw new Error(`no sample: ${line}`);
  const [, name = "", labels, value = ""] = match;
  const suffixes = family.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
  if (!suffixes.some((suffix) => name === family.name + suffix)) throw new Error(`${name} is not of ${family.name}`);
  if (!number.test(value)) throw new Error(`${name} has the value "${value}"`);
  family.samples.push({ name, labels: parseLabels(labels ?? ""), value: Number(value.replace("Inf", "Infinity")) });
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== "") {
    const match = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/.exec(rest);
    if (match === null) throw new Error(`no labels: ${rest}`);
    const [all, name = "", value = ""] = match;
    if (name in labels) throw new Error(`the label ${name} comes twice`);
    labels[name] = value.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
    rest = rest.slice(all.length);
  }
  return labels;
}

function checkFamily({ name, type, samples }: Family): void {
  const keys = samples.map(({ name: own, labels }) => own + JSON.stringify(Object.entries(labels).sort()));
  if (new Set(keys).size < keys.length) throw new Error(`a series of ${name} comes twice`);
  if (type === "counter" && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} is below 0`);
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const series = new Map<string, { buckets: Sample[]; count?: number; sum?: number }>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(Object.entries(labels).sort());
    const one = series.get(key) ?? { buckets: [] };
    series.set(key, one);
    if (sample.name === `${name}_bucket`) one.buckets.push(sample);
    else if (sample.name === `${name}_count`) one.count = sample.value;
    else one.sum = sample.value;
  }
  for (const { buckets, count, sum } of series.values()) {
    const bounds = buckets.map(({ labels }) => Number((labels.le ?? "none").replace("Inf", "Infinity")));
    const rises = (values: readonly number[], strictly: boolean): boolean =>
      values.every((value, i) => i === 0 || (strictly ? value > (values[i - 1] ?? 0) : value >= (values[i - 1] ?? 0)));
    if (!rises(bounds, true) || bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`the bounds of ${name}`);
    if (
      !rises(
        buckets.map(({ value }) => value),
        false,
      )
    )
      throw new Error(`the buckets of ${name} fall`);
    if (sum === undefined || count !== buckets.at(-1)?.value) throw new Error(`the count of ${name}`);
  }
}
