// The clients of a soak: so many streams of one request after another, and bursts beside them.
import { setTimeout as sleep } from "node:timers/promises";
import { ask, type Door } from "./client.ts";
import type { Outages } from "./killer.ts";
import type { Ledger } from "./ledger.ts";
import { type Observed, type Outcome, outcomeOf } from "./outcome.ts";
import { Random } from "./random.ts";
import { planBurst, planDocument, planNext, planRequest, type RequestPlan, type World } from "./traffic.ts";

export interface CrowdOptions {
  readonly door: Door;
  readonly world: World;
  readonly ledger: Ledger;
  readonly outages: Outages;
  readonly streams: number;
  readonly burstEveryMs: number;
  /** Makes every client hang up. */
  readonly signal: AbortSignal;
}

/** Who was turned away comes back when it was told, or sooner, so that a full queue is met again. */
const comeBackMsMax = 2_000;
/** The death of an engine is told a moment after the kill, and its return is seen a moment late. */
const outageSlackMs = 2_000;
/** Of `Random`'s streams, those that are nobody's else. */
const burstStream = 1_000_001;
const documentStream = 2_000_000;

export class Crowd {
  readonly #options: CrowdOptions;
  /** Requests under way. */
  running = 0;

  constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** Asks until `over` is aborted; resolves when the last request under way has ended. */
  async mixedTraffic(over: AbortSignal): Promise<void> {
    const { streams } = this.#options;
    await Promise.all([
      ...Array.from({ length: streams }, (_, index) => this.#stream(index, over)),
      this.#bursts(over),
    ]);
  }

  /** Asks for documents until so many have come whole or cut, or `over` is aborted. */
  async documents(wanted: number, over: AbortSignal): Promise<void> {
    const { world, ledger, streams } = this.#options;
    const got = (): number => ledger.documents.whole + ledger.documents.cut;
    const one = async (index: number): Promise<void> => {
      const random = new Random(world.seed, documentStream + index);
      while (!over.aborted && got() < wanted) await this.ask(planDocument(random, world), over);
    };
    await Promise.all(Array.from({ length: streams }, (_, index) => one(index)));
  }

  /** One client's request, with what follows from its answer. */
  async ask(plan: RequestPlan, over: AbortSignal): Promise<void> {
    const first = await this.#once(plan);
    if (first.end === "turned_away") await pause(comeBackMsMax / 2, over);
    if (first.end !== "answered" || over.aborted) return;
    const text = first.answer.choices[0]?.text ?? "";
    const next = planNext(plan, text);
    if (next !== undefined) await this.#once(next, plan.next?.as === "same_again" ? text : undefined);
  }

  async #once(plan: RequestPlan, wanted?: string): Promise<Outcome> {
    const { door, ledger, signal, outages } = this.#options;
    this.running += 1;
    let observed: Observed;
    try {
      observed = await ask(door, plan, signal);
    } finally {
      this.running -= 1;
    }
    const outage = outages.within(observed.sentAtMs - outageSlackMs, observed.endedAtMs + outageSlackMs);
    const outcome = sameAs(wanted, outcomeOf(plan, observed, { outage }));
    ledger.add(plan, observed, outcome);
    return outcome;
  }

  async #stream(index: number, over: AbortSignal): Promise<void> {
    const { world } = this.#options;
    const random = new Random(world.seed, index);
    // Not all at once: the bursts do that.
    await pause(random.next() * 1_000, over);
    while (!over.aborted) await this.ask(planRequest(random, world), over);
  }

  async #bursts(over: AbortSignal): Promise<void> {
    const { world, streams, burstEveryMs } = this.#options;
    const random = new Random(world.seed, burstStream);
    for (;;) {
      await pause(burstEveryMs * (0.5 + random.next()), over);
      if (over.aborted) return;
      await Promise.all(planBurst(random, world, streams).map((plan) => this.ask(plan, over)));
    }
  }
}

/** The outcome of a request that must have been answered with this text. */
function sameAs(wanted: string | undefined, outcome: Outcome): Outcome {
  if (wanted === undefined || outcome.end !== "answered" || outcome.answer.choices[0]?.text === wanted) return outcome;
  return { end: "failed", reason: "the answer differs from the first to the same deterministic request" };
}

async function pause(ms: number, over: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: over }).catch(() => undefined);
}
