// The bounds of one model's queue, by requests and by prompt tokens, with room kept for those that ask for little.
import type { PriorityClass } from "./waiting-line.ts";

export interface QueueBoundsOptions {
  /** Most requests that wait. */
  depthMax: number;
  /** Most prompt tokens that wait. */
  tokensMax: number;
  /** Part of both that batch work may take, 0 to 1. */
  batchShare: number;
}

/** Whose request it is. */
export interface Requester {
  /** Shares are between these. */
  readonly tenant: string;
  readonly priority: PriorityClass;
}

interface Holding {
  places: number;
  tokens: number;
}

/** Beyond the bounds there is this part of them for tenants that hold less than an equal share of the queue. */
const spareShare = 0.25;

/**
 * Counts places and tokens. Whoever filled the queue would keep the others out of it, and the order within it would be
 * worth nothing: batch work gets a part of it, and a tenant with less than an equal share is let in up to a quarter
 * beyond the bounds.
 */
export class QueueBounds {
  readonly #options: QueueBoundsOptions;
  readonly #tenants = new Map<string, Holding>();
  readonly #all: Holding = { places: 0, tokens: 0 };
  readonly #batch: Holding = { places: 0, tokens: 0 };

  constructor(options: QueueBoundsOptions) {
    this.#options = options;
  }

  /** Tokens of the requests that wait. */
  get tokens(): number {
    return this.#all.tokens;
  }

  /** Takes a place; false when there is none. `free` requests more may come: a slot waits for each. */
  takePlace(who: Requester, free: number): boolean {
    const { depthMax, batchShare } = this.#options;
    const isSmall = this.#of(who.tenant).places < this.#equalShare(who.tenant, depthMax);
    if (this.#all.places >= free + withSpare(depthMax, isSmall)) return false;
    if (who.priority === "batch" && this.#batch.places >= free + Math.ceil(depthMax * batchShare)) return false;
    this.#add(who, 1, 0);
    return true;
  }

  /** Whether so many may wait, one of this tenant among them that has its place already. */
  hasDepth({ tenant }: Requester, waiting: number): boolean {
    const { depthMax } = this.#options;
    const isSmall = this.#of(tenant).places <= this.#equalShare(tenant, depthMax);
    return waiting <= withSpare(depthMax, isSmall);
  }

  /** By how many tokens a newcomer is over the bound; 0 when it fits. */
  tokensOver({ tenant, priority }: Requester, tokens: number): number {
    const { tokensMax, batchShare } = this.#options;
    const isSmall = this.#of(tenant).tokens + tokens <= this.#equalShare(tenant, tokensMax);
    const over = this.#all.tokens + tokens - withSpare(tokensMax, isSmall);
    const batchOver = priority === "batch" ? this.#batch.tokens + tokens - Math.ceil(tokensMax * batchShare) : 0;
    return Math.max(0, over, batchOver);
  }

  addTokens(who: Requester, tokens: number): void {
    this.#add(who, 0, tokens);
  }

  /** Gives a place back with the tokens that were added to it. */
  give(who: Requester, tokens: number): void {
    this.#add(who, -1, -tokens);
  }

  #of(tenant: string): Holding {
    return this.#tenants.get(tenant) ?? { places: 0, tokens: 0 };
  }

  /** What each tenant would have of `whole` if all had the same, this one being in the queue too. */
  #equalShare(tenant: string, whole: number): number {
    return whole / (this.#tenants.size + (this.#tenants.has(tenant) ? 0 : 1));
  }

  #add({ tenant, priority }: Requester, places: number, tokens: number): void {
    const own = this.#of(tenant);
    for (const holding of priority === "batch" ? [own, this.#all, this.#batch] : [own, this.#all]) {
      holding.places += places;
      holding.tokens += tokens;
    }
    if (own.places > 0) this.#tenants.set(tenant, own);
    else this.#tenants.delete(tenant);
  }
}

function withSpare(bound: number, isSmall: boolean): number {
  return bound + (isSmall ? Math.floor(bound * spareShare) : 0);
}
