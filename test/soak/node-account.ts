// Reads the node's own account of a soak, its metrics and its journal, and compares it with what the clients saw.

import { webClient } from "../../inference-node/testing/web-client.ts";
import type { JournalEntry, JournalResponse } from "../../proto/gen/sluice/inference/v1/journal_pb.js";
import { Capability, type ListModelsResponse, type Model } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import type { Stack } from "../support/stack.ts";
import type { End, Entry } from "./ledger.ts";

/** As many as one call of Journal takes. */
const idsPerCall = 1_000;
const scrapeTimeoutMs = 10_000;

/** The node's metrics, each name's samples added up over their labels. */
export type Totals = ReadonlyMap<string, number>;

/** Adds up Prometheus' text format by name. */
export function totalsOf(text: string): Totals {
  const totals = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^(\w+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name !== undefined) totals.set(name, (totals.get(name) ?? 0) + Number(value));
  }
  return totals;
}

export async function readTotals(stack: Stack): Promise<Totals> {
  const headers = { authorization: `Bearer ${stack.nodeSecret}` };
  const response = await fetch(`${stack.nodeWeb}/metrics`, { headers, signal: AbortSignal.timeout(scrapeTimeoutMs) });
  return totalsOf(await response.text());
}

/** The model that the stack serves; throws when the node does not know it. */
export async function readModel(stack: Stack): Promise<Model> {
  const { models } = await client(stack).unary<ListModelsResponse>("listModels", {});
  const model = models.find(({ id }) => id === stack.model);
  if (model === undefined) throw new Error(`The node does not list ${stack.model}.`);
  return model;
}

export function can(model: Model, capability: keyof typeof Capability): boolean {
  return model.capabilities.includes(Capability[capability]);
}

/** What the node remembers of these requests. */
export async function readJournal(stack: Stack, requestIds: readonly string[]): Promise<JournalEntry[]> {
  const found: JournalEntry[] = [];
  for (let from = 0; from < requestIds.length; from += idsPerCall) {
    const ids = requestIds.slice(from, from + idsPerCall);
    const { entries } = await client(stack).unary<JournalResponse>("journal", { requestIds: ids });
    found.push(...entries);
  }
  return found;
}

function client(stack: Stack) {
  return webClient(stack.nodeWeb, { secret: stack.nodeSecret });
}

/** Where the journal says something else than the clients saw; a sentence each. */
export function journalFaults(seen: readonly Entry[], journal: readonly JournalEntry[]): string[] {
  const known = new Map(journal.map((entry) => [entry.requestId, entry]));
  return seen.flatMap((entry) => {
    const fault = faultOfEntry(entry, known.get(entry.requestId));
    return fault === undefined
      ? []
      : [`${entry.requestId}, which ${entry.end === "left" ? "was left" : `ended as ${entry.end}`}, ${fault}.`];
  });
}

function faultOfEntry({ end, tokens }: Entry, journal: JournalEntry | undefined): string | undefined {
  if (journal === undefined) return end === "answered" || end === "lost" ? "is not in the journal" : undefined;
  if (journal.running) return "still runs, says the journal";
  if (end === "lost") return journal.statusCode === 0 ? "ended well, says the journal" : undefined;
  if (end !== "answered") return undefined;
  if (journal.statusCode !== 0) return `ended with status ${journal.statusCode}, says the journal`;
  const { promptTokens = 0, completionTokens = 0 } = journal.usage ?? {};
  if (promptTokens === tokens?.prompt && completionTokens === tokens.completion) return undefined;
  return `had ${tokens?.prompt} + ${tokens?.completion} tokens, and ${promptTokens} + ${completionTokens} in the journal`;
}

/** Where the metrics of an idle node contradict each other or what the clients saw. */
export function metricFaults(totals: Totals, counts: Readonly<Record<End, number>>): string[] {
  const of = (name: string): number => totals.get(`sluice_${name}`) ?? 0;
  const admitted = of("requests_admitted_total");
  const ended = of("e2e_request_latency_seconds_count");
  const succeeded = of("request_success_total");
  const failed = of("requests_failed_total");
  const cancelled = of("requests_cancelled_total");
  const { answered, left, lost } = counts;
  const unclear = left + counts.failed;
  const between = (what: string, value: number, min: number, max: number): string[] =>
    value >= min && value <= max ? [] : [`${what}: ${value}, and by the clients' count ${min} to ${max}.`];
  return [
    ...(admitted === ended ? [] : [`${admitted} requests were admitted, and ${ended} of them ended.`]),
    ...(of("num_requests_running") === 0 ? [] : [`${of("num_requests_running")} requests still run.`]),
    ...(of("num_requests_waiting") === 0 ? [] : [`${of("num_requests_waiting")} requests still wait.`]),
    // Who hangs up at the last moment may be answered, cancelled or lost by then.
    ...between("Requests that succeeded", succeeded, answered, answered + unclear),
    ...between("Requests that were cancelled", cancelled, 0, unclear),
    ...(succeeded + failed > admitted ? ["More requests ended than were admitted."] : []),
    ...(failed < lost ? [`${failed} requests failed, and ${lost} clients were told so.`] : []),
  ];
}
