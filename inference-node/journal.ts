// The node's bounded memory of generations: those that run, by id, and the last that ended.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type FinishReason,
  FinishReason as Reason,
  type Usage,
  UsageSchema,
} from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { type JournalEntry, JournalEntrySchema } from "../proto/gen/sluice/inference/v1/journal_pb.js";
import { Code, NodeError } from "./node-error.ts";

/** A generation that runs. Its owner counts tokens into it. */
export interface RunningGeneration {
  readonly requestId: string;
  readonly tenant: string;
  readonly model: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  /** Ends it; the reason decides how its stream ends. */
  abort(reason: NodeError): void;
}

/** How a generation ended: `usage` when it finished, else what was counted so far. */
export interface Outcome {
  reason: FinishReason;
  usage: Usage | undefined;
  /** gRPC status code; 0 for OK. */
  code: number;
  /** Milliseconds since the Unix epoch. */
  endedAt: number;
}

/** Most ended generations that are remembered; the oldest are forgotten first. */
export const journalEntriesMax = 10_000;

export class Journal {
  readonly #running = new Map<string, RunningGeneration>();
  readonly #ended = new Map<string, Account>();

  get runningCount(): number {
    return this.#running.size;
  }

  running(): Iterable<RunningGeneration> {
    return this.#running.values();
  }

  find(requestId: string): RunningGeneration | undefined {
    return this.#running.get(requestId);
  }

  /** Begins an account. Throws INVALID_ARGUMENT when a generation of that id runs: Control could not tell them apart. */
  open(generation: RunningGeneration): void {
    if (this.#running.has(generation.requestId)) {
      throw new NodeError(Code.INVALID_ARGUMENT, "A request with this request_id is running.", {
        param: "request_id",
        reason: "DUPLICATE_REQUEST_ID",
      });
    }
    this.#running.set(generation.requestId, generation);
  }

  /** Ends an account that `open` began. */
  close(generation: RunningGeneration, outcome: Outcome): void {
    this.#running.delete(generation.requestId);
    this.#ended.delete(generation.requestId); // A retry under the same id replaces the earlier attempt, as the newest.
    this.#ended.set(generation.requestId, accountOf(generation, outcome));
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= journalEntriesMax) break;
      this.#ended.delete(oldest);
    }
  }

  /** What is known of these ids, in their order; unknown ones are left out. */
  entries(requestIds: readonly string[]): JournalEntry[] {
    const found: JournalEntry[] = [];
    for (const requestId of requestIds) {
      const running = this.#running.get(requestId);
      const account = running ? accountOf(running, undefined) : this.#ended.get(requestId);
      if (account) found.push(entryOf(requestId, account));
    }
    return found;
  }
}

/** What a generation has cost so far. */
export function usageSoFar(generation: RunningGeneration): Usage {
  const { promptTokens, cachedTokens, completionTokens } = generation;
  return create(UsageSchema, { promptTokens, cachedTokens, completionTokens });
}

/** What is kept of a generation; plain numbers, so that ten thousand of them weigh little. */
interface Account {
  readonly tenant: string;
  readonly model: string;
  readonly startedAt: number;
  readonly usage: Usage;
  readonly outcome: Omit<Outcome, "usage"> | undefined;
}

function accountOf(generation: RunningGeneration, outcome: Outcome | undefined): Account {
  const { tenant, model, startedAt } = generation;
  return { tenant, model, startedAt, usage: outcome?.usage ?? usageSoFar(generation), outcome };
}

function entryOf(requestId: string, { tenant, model, startedAt, usage, outcome }: Account): JournalEntry {
  return create(JournalEntrySchema, {
    requestId,
    tenant,
    model,
    running: outcome === undefined,
    usage,
    reason: outcome?.reason ?? Reason.UNSPECIFIED,
    statusCode: outcome?.code ?? 0,
    startedAt: timestampFromMs(startedAt),
    ...(outcome && { endedAt: timestampFromMs(outcome.endedAt) }),
  });
}
