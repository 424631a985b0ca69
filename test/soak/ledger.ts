// Counts how a soak's requests ended, and keeps what the node's own account is compared with.
import { isCut } from "./answer.ts";
import type { Observed, Outcome } from "./outcome.ts";
import type { RequestPlan } from "./traffic.ts";

export type End = Outcome["end"];
export const ends = ["answered", "refused", "turned_away", "lost", "left", "failed"] as const satisfies readonly End[];

export interface Failure {
  readonly kind: string;
  readonly requestId: string | undefined;
  readonly reason: string;
  readonly sentAtMs: number;
  readonly endedAtMs: number;
  readonly status: number | undefined;
}

/** A request of which the client knows the id. */
export interface Entry {
  readonly requestId: string;
  readonly end: End;
  /** Undefined unless answered. */
  readonly tokens: { readonly prompt: number; readonly completion: number } | undefined;
}

/** Failures that are kept in full; more are only counted. */
const failuresMax = 100;
/** The node remembers 10,000 generations, those too whose clients never saw an id. */
const entriesMax = 5_000;

export class Ledger {
  readonly counts: Record<End, number> = { answered: 0, refused: 0, turned_away: 0, lost: 0, left: 0, failed: 0 };
  readonly byKind = new Map<string, Record<End, number>>();
  readonly failures: Failure[] = [];
  readonly tokens = { prompt: 0, cached: 0, completion: 0 };
  /** Answers that had to be documents of a schema; `cut` ended at their token limit. */
  readonly documents = { whole: 0, cut: 0 };
  readonly #entries = new Map<string, Entry>();

  get requests(): number {
    return ends.reduce((sum, end) => sum + this.counts[end], 0);
  }

  /** The newest requests, at most 5,000. */
  entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  add(plan: RequestPlan, observed: Observed, told: Outcome): void {
    const { requestId } = observed;
    const isSecond = requestId !== undefined && this.#entries.has(requestId);
    const outcome: Outcome = isSecond ? { end: "failed", reason: "another request had the same id" } : told;
    this.#count(plan.kind, outcome.end);
    if (outcome.end === "failed") this.#fail(plan.kind, observed, outcome.reason);
    if (outcome.end === "answered") this.#answered(plan, outcome.answer);
    if (requestId !== undefined && !isSecond) this.#remember(requestId, outcome);
  }

  #remember(requestId: string, outcome: Outcome): void {
    const usage = outcome.end === "answered" ? outcome.answer.usage : undefined;
    const tokens = usage && { prompt: usage.prompt_tokens, completion: usage.completion_tokens };
    this.#entries.set(requestId, { requestId, end: outcome.end, tokens });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) break;
      this.#entries.delete(oldest);
    }
  }

  #count(kind: string, end: End): void {
    this.counts[end] += 1;
    const row = this.byKind.get(kind) ?? { answered: 0, refused: 0, turned_away: 0, lost: 0, left: 0, failed: 0 };
    row[end] += 1;
    this.byKind.set(kind, row);
  }

  #fail(kind: string, { requestId, sentAtMs, endedAtMs, status }: Observed, reason: string): void {
    if (this.failures.length >= failuresMax) return;
    this.failures.push({ kind, requestId, reason, sentAtMs, endedAtMs, status });
  }

  #answered({ body }: RequestPlan, answer: Extract<Outcome, { end: "answered" }>["answer"]): void {
    const { usage } = answer;
    this.tokens.prompt += usage.prompt_tokens;
    this.tokens.cached += usage.prompt_tokens_details.cached_tokens;
    this.tokens.completion += usage.completion_tokens;
    const format = typeof body === "string" ? undefined : (body.response_format as { type: string } | undefined);
    if (format?.type === "json_schema") this.documents[isCut(answer) ? "cut" : "whole"] += 1;
  }
}
