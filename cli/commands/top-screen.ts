// The lines of `sluice top`: figures as a person reads them, in so many columns.
import { formatBytes, printable } from "../output.ts";
import type { ModelFigures, NodeFigures } from "./top-figures.ts";

export interface ScreenOptions {
  /** The node's address. */
  readonly url: string;
  /** What the times and the hit rate are of: "of the last second", "since the node's start". */
  readonly span: string;
  readonly columns: number;
  /** Makes a heading stand out. */
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
}

const barCells = 12;

/** The view, a line an entry, none wider than the columns. */
export function screenLines(figures: NodeFigures, options: ScreenOptions): string[] {
  const { url, span, strong, faint, columns } = options;
  const cut = (text: string): string => (text.length <= columns ? text : `${text.slice(0, columns - 1)}…`);
  const title = `Sluice node ${printable(url)}`;
  const node = fields([
    ["up", formatDuration(figures.uptime_seconds)],
    ["cpu", figures.cpu === null ? "–" : percent(figures.cpu)],
    ["memory", bytes(figures.memory_bytes)],
    ["loop lag p99", formatSeconds(figures.event_loop_lag_p99)],
  ]);
  const models = figures.models.flatMap((model) => ["", strong(cut(headOf(model))), ...linesOf(model).map(cut)]);
  const none = figures.models.length === 0 ? ["", "It serves no model yet."] : [];
  const legend = `rates of the last second, times and hits ${span}`;
  return [strong(cut(title)), cut(node), ...models, ...none, "", faint(cut(legend))];
}

function headOf({ model, engine_memory_bytes }: ModelFigures): string {
  const engine = engine_memory_bytes === null ? "" : `   engine ${formatBytes(engine_memory_bytes)}`;
  return `${printable(model)}${engine}`;
}

function linesOf(model: ModelFigures): string[] {
  const requests = fields([
    ["running", String(model.running)],
    ["waiting", String(model.waiting)],
    ["done", rate(model.requests_per_second)],
  ]);
  const trouble: [string, string][] = [
    ["rejected", String(model.rejected)],
    ["failed", String(model.failed)],
    ["restarts", String(model.restarts)],
  ];
  if ((model.quarantined ?? 0) > 0) trouble.push(["quarantined", String(model.quarantined)]);
  return [`  requests  ${requests}`, ...generationLines(model), `  trouble   ${fields(trouble)}`];
}

/** Nothing for a model that makes embeddings: it has no tokens that come one after another. */
function generationLines(model: ModelFigures): string[] {
  const { ttft_p50, ttft_p99, itl_p50, itl_p99, queue_p99, kv_cache_usage: usage, generated } = model;
  if (usage === null && generated === 0) return [];
  const tokens = fields([
    ["in", rate(model.prompt_tokens_per_second)],
    ["out", rate(model.generation_tokens_per_second)],
    ["prefix hits", share(model.prefix_hit_rate)],
  ]);
  const queue = fields([["queue p99", formatSeconds(queue_p99)]]);
  return [
    `  tokens    ${tokens}`,
    `  TTFT      ${quantiles(ttft_p50, ttft_p99)}   ${queue}`,
    `  ITL       ${quantiles(itl_p50, itl_p99).trimEnd()}`,
    ...(usage === null ? [] : [`  KV        ${bar(usage)} ${share(usage)}`]),
  ];
}

function fields(pairs: readonly (readonly [name: string, value: string])[]): string {
  return pairs
    .map(([name, value]) => `${name} ${value.padEnd(7)}`)
    .join("  ")
    .trimEnd();
}

function quantiles(p50: number | null, p99: number | null): string {
  return fields([
    ["p50", formatSeconds(p50)],
    ["p99", formatSeconds(p99)],
  ]).padEnd(25);
}

function bar(value: number | null): string {
  const full = Math.min(barCells, Math.max(0, Math.round((value ?? 0) * barCells)));
  return "█".repeat(full) + "░".repeat(barCells - full);
}

function share(value: number | null): string {
  return value === null ? "–" : percent(value);
}

function percent(value: number): string {
  return `${Math.round(value * 100)} %`;
}

function rate(value: number | null): string {
  if (value === null) return "–";
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)}/s`;
}

function bytes(value: number | null): string {
  return value === null ? "–" : formatBytes(value);
}

/** "850 µs", "22 ms", "1.2 s": two digits that matter. */
function formatSeconds(seconds: number | null): string {
  if (seconds === null) return "–";
  if (seconds >= 10) return `${Math.round(seconds)} s`;
  if (seconds >= 0.9995) return `${seconds.toFixed(1)} s`;
  const ms = seconds * 1_000;
  if (ms >= 10) return `${Math.round(ms)} ms`;
  return ms >= 1 ? `${ms.toFixed(1)} ms` : `${Math.round(ms * 1_000)} µs`;
}

/** "42 s", "7 min 3 s", "5 h 12 min", "3 d 4 h". */
function formatDuration(seconds: number | null): string {
  if (seconds === null) return "–";
  const whole = Math.floor(seconds);
  const [minutes, hours, days] = [Math.floor(whole / 60), Math.floor(whole / 3_600), Math.floor(whole / 86_400)];
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
