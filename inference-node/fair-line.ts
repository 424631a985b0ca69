// The order within one queue class: fair between tenants by tokens served, first come first served within each.
import { Fifo } from "./fifo.ts";
import { type HeapMember, IndexedHeap } from "./indexed-heap.ts";

/** A request in the line. */
export interface FairWaiter {
  /** Who asks: shares are between these. */
  readonly tenant: string;
  /** Prompt tokens. */
  readonly tokens: number;
  /** Slots that it takes, all at once. */
  readonly sequences: number;
}

export interface FairLineOptions {
  /** Weights of a prompt token and of a generated one in what a tenant was served; 1 and 2 when undefined. */
  promptWeight?: number;
  generatedWeight?: number;
  /** Tenants without work whose counters are kept; the longest idle are forgotten first. */
  idleTenantsMax?: number;
}

/** What one request has been charged for, from its start on. */
export interface Charge {
  readonly tenant: Tenant;
  readonly promptTokens: number;
  generatedTokens: number;
  reusedTokens: number;
}

/** Requests, and the slots that they take. */
export interface Ahead {
  requests: number;
  sequences: number;
}

/** One tenant's account. Opaque outside of this file. */
interface Tenant extends HeapMember {
  readonly name: string;
  /** The virtual counter: weighted tokens served, lifted when the tenant comes back. */
  counter: number;
  /** When it was last served, 0 before that: among equals the one that has waited longest for its turn is next. */
  servedTurn: number;
  /** When it came. */
  readonly cameTurn: number;
  running: number;
}

const defaultIdleTenantsMax = 10_000;
/** Tenants that an estimate looks at; of more, an even sample. */
const sampledTenantsMax = 512;
/** Weight of the newest request in the running mean of what one costs. */
const costSmoothing = 0.1;

/**
 * Virtual Token Counter, as in "Fairness in Serving Large Language Models" (https://arxiv.org/abs/2401.00588, algorithm
 * 2): the tenant that was served least is next. A tenant is charged for the prompt when its request starts and for each
 * token when it is generated; one that comes back after it had nothing in the line is lifted to the least of those in
 * it, so that nobody saves up a claim by idling. Two tenants that both wait all the time then differ in what they are
 * served by no more than a bound that does not grow with time (theorem 4.4).
 */
export class FairLine<W extends FairWaiter> {
  readonly #promptWeight: number;
  readonly #generatedWeight: number;
  readonly #idleTenantsMax: number;
  readonly #tenants = new Map<string, Tenant>();
  readonly #queues = new Map<Tenant, Fifo<W>>();
  /** Tenants with a waiter. */
  readonly #waiting = new IndexedHeap<Tenant>(goesBefore);
  /** Tenants with neither a waiter nor running work, longest idle first. */
  readonly #idle = new Set<Tenant>();
  #lastToLeave: Tenant | undefined;
  #turn = 0;
  #length = 0;
  #sequences = 0;
  #meanCost: number | undefined;

  constructor({ promptWeight = 1, generatedWeight = 2, idleTenantsMax }: FairLineOptions = {}) {
    this.#promptWeight = promptWeight;
    this.#generatedWeight = generatedWeight;
    this.#idleTenantsMax = idleTenantsMax ?? defaultIdleTenantsMax;
  }

  get length(): number {
    return this.#length;
  }

  /** Slots that all waiters together take. */
  get sequences(): number {
    return this.#sequences;
  }

  /** Tenants that are remembered. */
  get tenants(): number {
    return this.#tenants.size;
  }

  push(waiter: W): void {
    const tenant = this.#tenantOf(waiter.tenant);
    this.#idle.delete(tenant);
    let queue = this.#queues.get(tenant);
    if (queue === undefined) {
      tenant.counter = Math.max(tenant.counter, this.#floor());
      queue = new Fifo();
      this.#queues.set(tenant, queue);
      this.#waiting.add(tenant);
    }
    queue.push(waiter);
    this.#length += 1;
    this.#sequences += waiter.sequences;
  }

  /** Whose turn it is; undefined when nobody waits. */
  next(): W | undefined {
    const tenant = this.#waiting.least;
    return tenant && this.#queues.get(tenant)?.first;
  }

  /** Takes `next()` out of the line and charges its prompt. Give the charge back to `end` when the work is over. */
  start(waiter: W): Charge {
    const tenant = this.#tenantOf(waiter.tenant);
    tenant.running += 1;
    this.delete(waiter);
    this.#turn += 1;
    tenant.servedTurn = this.#turn;
    this.#charge(tenant, this.#promptWeight * waiter.tokens);
    return { tenant, promptTokens: waiter.tokens, generatedTokens: 0, reusedTokens: 0 };
  }

  /** Charges what has been generated since the last time; `total` counts from the request's start. */
  generated(charge: Charge, total: number): void {
    const more = total - charge.generatedTokens;
    if (!(more > 0)) return;
    charge.generatedTokens = total;
    this.#charge(charge.tenant, this.#generatedWeight * more);
  }

  /** Gives back what was charged for prompt tokens that cost nothing, having been reused. */
  reused(charge: Charge, total: number): void {
    const more = Math.min(total, charge.promptTokens) - charge.reusedTokens;
    if (!(more > 0)) return;
    charge.reusedTokens += more;
    this.#charge(charge.tenant, -this.#promptWeight * more);
  }

  /** The work is over. Once for each charge. */
  end(charge: Charge): void {
    const { tenant, promptTokens, reusedTokens, generatedTokens } = charge;
    const cost = this.#promptWeight * (promptTokens - reusedTokens) + this.#generatedWeight * generatedTokens;
    this.#meanCost = this.#meanCost === undefined ? cost : this.#meanCost + costSmoothing * (cost - this.#meanCost);
    tenant.running -= 1;
    this.#rest(tenant);
  }

  /** Takes a waiter out, wherever it stands; false when it is not in the line. */
  delete(waiter: W): boolean {
    const tenant = this.#tenants.get(waiter.tenant);
    const queue = tenant && this.#queues.get(tenant);
    if (tenant === undefined || queue === undefined || !queue.delete(waiter)) return false;
    this.#length -= 1;
    this.#sequences -= waiter.sequences;
    if (queue.size > 0) return true;
    this.#queues.delete(tenant);
    this.#waiting.remove(tenant);
    this.#lastToLeave = tenant;
    this.#rest(tenant);
    return true;
  }

  /** An estimate of what is served before a newcomer of this tenant, as if all requests cost the same. */
  ahead(name: string): Ahead {
    const known = this.#tenants.get(name);
    const own = (known && this.#queues.get(known)?.size) ?? 0;
    const counter = own > 0 && known ? known.counter : Math.max(known?.counter ?? 0, this.#floor());
    const { members } = this.#waiting;
    const step = Math.max(1, Math.ceil(members.length / sampledTenantsMax));
    let others = 0;
    for (let index = 0; index < members.length; index += step) {
      const tenant = members[index];
      if (tenant === undefined || tenant === known) continue;
      const queued = this.#queues.get(tenant)?.size ?? 0;
      others += Math.min(queued, this.#turnsBefore(counter - tenant.counter, own));
    }
    const requests = Math.min(this.#length, own + others * step);
    return { requests, sequences: this.#length === 0 ? 0 : (requests * this.#sequences) / this.#length };
  }

  /** How often a tenant is served before another that is `lead` ahead of it and has `own` requests before the newcomer. */
  #turnsBefore(lead: number, own: number): number {
    if (this.#meanCost === undefined || this.#meanCost <= 0) return own + (lead > 0 ? 1 : 0);
    return Math.max(0, Math.ceil(lead / this.#meanCost + own));
  }

  /** What a tenant that comes back is lifted to. */
  #floor(): number {
    return (this.#waiting.least ?? this.#lastToLeave)?.counter ?? 0;
  }

  #charge(tenant: Tenant, cost: number): void {
    tenant.counter += cost;
    this.#waiting.moved(tenant);
  }

  #tenantOf(name: string): Tenant {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) {
      this.#turn += 1;
      tenant = { name, counter: 0, servedTurn: 0, cameTurn: this.#turn, running: 0, heapIndex: -1 };
      this.#tenants.set(name, tenant);
    }
    return tenant;
  }

  #rest(tenant: Tenant): void {
    if (tenant.running > 0 || this.#queues.has(tenant)) return;
    this.#idle.add(tenant);
    for (const oldest of this.#idle) {
      if (this.#idle.size <= this.#idleTenantsMax) break;
      this.#idle.delete(oldest);
      this.#tenants.delete(oldest.name);
    }
  }
}

function goesBefore(a: Tenant, b: Tenant): boolean {
  if (a.counter !== b.counter) return a.counter < b.counter;
  return a.servedTurn !== b.servedTurn ? a.servedTurn < b.servedTurn : a.cameTurn < b.cameTurn;
}
