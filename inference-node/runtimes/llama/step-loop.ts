// The continuous batch: every step decodes all running sequences and a chunk of the waiting prompts together.
import { PrefillPacer, planStep, type StepItem } from "../../scheduler.ts";
import type { Engine } from "./engine.ts";
import { KvSlots } from "./kv-slots.ts";
import { PrefixReuse } from "./prefix-reuse.ts";
import type { GenerateOptions, GenerationEvent, StepSummary } from "./protocol.ts";
import { prefixRequestOf, Sequence } from "./sequence.ts";
import { SlotMoves } from "./slot-moves.ts";
import { StateCopies } from "./state-copies.ts";
import type { StateStore } from "./state-store.ts";
import { StepMeter } from "./step-meter.ts";

/** A generation that has no slot yet. The node admits no more than there are slots, so this queue stays short. */
interface Waiting {
  readonly key: number;
  readonly options: GenerateOptions;
}

export interface StepLoopOptions {
  readonly engine: Engine;
  readonly store: StateStore;
  /** Takes all that a step brought, be it nothing. */
  readonly emit: (events: GenerationEvent[], step?: StepSummary) => void;
  /** Told when the engine failed in a way that leaves its state unknown. */
  readonly onFatal: (error: unknown) => void;
  /** Monotonic milliseconds. */
  readonly nowMs?: (() => number) | undefined;
}

/** Prompt tokens in a step of a sequence that is decoded alone: always the same, whatever the machine's pace. */
const aloneChunkTokens = 64;

/** A gap is closed in a step that took no longer to bring prefixes in. */
const preparedMsMax = 1;

/** Runs steps while there is work. One `emit` a step carries everything that the step brought, be it nothing. */
export class StepLoop {
  readonly #engine: Engine;
  readonly #emit: (events: GenerationEvent[], step?: StepSummary) => void;
  readonly #onFatal: (error: unknown) => void;
  readonly #nowMs: () => number;
  readonly #pacer: PrefillPacer;
  readonly #slots: KvSlots;
  readonly #prefixes: PrefixReuse;
  readonly #moves: SlotMoves;
  readonly #meter = new StepMeter();
  readonly #running = new Map<number, Sequence>();
  readonly #waiting: Waiting[] = [];
  #arrivals = 0;
  #active = false;

  constructor({ engine, store, emit, onFatal, nowMs = () => performance.now() }: StepLoopOptions) {
    this.#engine = engine;
    this.#emit = emit;
    this.#onFatal = onFatal;
    this.#nowMs = nowMs;
    this.#pacer = new PrefillPacer({
      // A running stream's gap may grow to three times its quiet one while a long prompt comes in; steps are not all alike.
      stallFactor: 1.6,
      stepMsMax: 200,
      initialTokens: 32,
      tokensMax: engine.info.batchTokens,
    });
    this.#slots = new KvSlots(engine.addon.context, engine.info.sequences);
    const copies = new StateCopies({ slots: this.#slots, store, nowMs });
    const prefillMsPerToken = (): number | undefined => this.#pacer.msPerPromptToken;
    this.#prefixes = new PrefixReuse({ slots: this.#slots, store, copies, prefillMsPerToken, nowMs });
    this.#moves = new SlotMoves({ slots: this.#slots, store, copies, prefillMsPerToken, nowMs });
  }

  /** Starts a generation in the next step. */
  add(key: number, options: GenerateOptions): void {
    this.#waiting.push({ key, options });
    if (!this.#active) void this.#run();
  }

  /** Cancels a generation: at once when it waits, after the step under way when it runs. */
  cancel(key: number): void {
    const waiting = this.#waiting.findIndex((entry) => entry.key === key);
    if (waiting >= 0) {
      this.#waiting.splice(waiting, 1);
      this.#emit([{ type: "cancelled", key, steps: 0, completionTokens: 0 }]);
      return;
    }
    const sequence = this.#running.get(key);
    if (sequence !== undefined) sequence.stepsAfterCancel ??= 0;
  }

  /** Makes a running generation go on with this text before it chooses for itself again. */
  force(key: number, text: string): void {
    this.#running.get(key)?.force(this.#engine.addon.model.tokenize(text, true));
  }

  async #run(): Promise<void> {
    this.#active = true;
    try {
      for (;;) {
        const events: GenerationEvent[] = [];
        this.#dropCancelled(events);
        this.#fillSlots(events);
        const steps = this.#running.size > 0;
        if (steps) {
          await this.#copyStates();
          await this.#step(events);
        }
        // A piece of a prompt brings no event, but that its step has ended is the sign of life that the node waits for.
        if (steps || events.length > 0) this.#emit(events, this.#meter.take(this.#running.values()));
        if (this.#running.size === 0 && this.#waiting.length === 0) break;
      }
    } catch (thrown) {
      this.#onFatal(thrown);
    }
    this.#active = false;
  }

  async #copyStates(): Promise<void> {
    const startedMs = this.#nowMs();
    await this.#prefixes.prepare(this.#running, this.#decoding() > 0);
    // Where prefixes were copied, the streams have waited enough for one step.
    if (this.#nowMs() - startedMs < preparedMsMax) await this.#moves.closeGap(this.#running);
  }

  #dropCancelled(events: GenerationEvent[]): void {
    for (const sequence of this.#running.values()) {
      if (sequence.stepsAfterCancel === undefined) continue;
      const { key, stepsAfterCancel: steps, completionTokens } = sequence;
      this.#release(sequence);
      events.push({ type: "cancelled", key, steps, completionTokens });
    }
  }

  #fillSlots(events: GenerationEvent[]): void {
    while (this.#waiting.length > 0 && this.#slots.freeCount > 0) {
      const { key, options } = this.#waiting.shift() as Waiting;
      try {
        const { slot, reused, source } = this.#prefixes.place(prefixRequestOf(options), this.#running.values());
        const sequence = new Sequence(this.#engine, key, options, slot, this.#arrivals++);
        sequence.wait = { reused, source };
        this.#slots.take(slot);
        this.#running.set(key, sequence);
      } catch (thrown) {
        // Options that the engine's sampler does not take fail this request, not the batch.
        events.push({ type: "failed", key, message: `The engine refused the request's options: ${String(thrown)}` });
      }
    }
  }

  #decoding(): number {
    let decoding = 0;
    for (const { wait, promptTokensLeft } of this.#running.values())
      if (wait === undefined && promptTokensLeft === 0) decoding += 1;
    return decoding;
  }

  async #step(events: GenerationEvent[]): Promise<void> {
    const ready = [...this.#running.values()].filter(({ wait }) => wait === undefined);
    // Each in batches of its own: first those, since their streams wait for the shared batch as well.
    for (const sequence of ready) {
      if (sequence.deterministic && sequence.stepsAfterCancel === undefined) await this.#stepAlone(sequence, events);
    }
    // Whoever was cancelled during one of those computes nothing more.
    const sequences = ready.filter((one) => !one.deterministic && one.stepsAfterCancel === undefined);
    if (sequences.length > 0) await this.#stepTogether(sequences, events);
    this.#dropCancelled(events);
  }

  async #stepTogether(sequences: readonly Sequence[], events: GenerationEvent[]): Promise<void> {
    const decoding = sequences.filter((sequence) => sequence.promptTokensLeft === 0).length;
    const plan = planStep(sequences, {
      batchTokensMax: this.#engine.info.batchTokens,
      ...this.#pacer.budget(decoding, sequences.length - decoding),
    });
    const bySlot = new Map(sequences.map((sequence) => [sequence.slot, sequence]));
    const startedMs = this.#nowMs();
    const entries = await this.#decode(plan, bySlot);
    const total = plan.reduce((sum, item) => sum + item.tokens, 0);
    const elapsedMs = this.#nowMs() - startedMs;
    this.#pacer.observe(decoding, total - decoding, elapsedMs);
    this.#moves.observe(plan, decoding, elapsedMs);
    await this.#finishStep(entries, events);
  }

  /** One step of a sequence whose batches have the same shape under any load. */
  async #stepAlone(sequence: Sequence, events: GenerationEvent[]): Promise<void> {
    const left = sequence.promptTokensLeft;
    const tokens = Math.max(1, Math.min(left, aloneChunkTokens, this.#engine.info.batchTokens));
    const item = { slot: sequence.slot, tokens, sample: tokens >= left };
    await this.#finishStep(await this.#decode([item], new Map([[sequence.slot, sequence]])), events);
  }

  async #finishStep(
    entries: readonly { sequence: Sequence; sample: boolean; indexes: Uint32Array }[],
    events: GenerationEvent[],
  ): Promise<void> {
    // A cancellation that came during the decode ends here: its token is not sampled.
    for (const { sequence } of entries) if (sequence.stepsAfterCancel !== undefined) sequence.stepsAfterCancel += 1;
    await this.#sample(
      entries.filter(({ sequence }) => sequence.stepsAfterCancel === undefined),
      events,
    );
  }

  async #decode(
    plan: readonly StepItem[],
    bySlot: ReadonlyMap<number, Sequence>,
  ): Promise<{ sequence: Sequence; sample: boolean; indexes: Uint32Array }[]> {
    const context = this.#engine.addon.context;
    const total = plan.reduce((sum, item) => sum + item.tokens, 0);
    context.initBatch(total);
    const ofPrompts = plan.filter(({ slot }) => bySlot.get(slot)?.promptTokensLeft !== 0);
    const promptTokens = ofPrompts.reduce((sum, { tokens }) => sum + tokens, 0);
    const startedMs = this.#nowMs();
    const entries = plan.map(({ slot, tokens, sample }) => {
      const sequence = bySlot.get(slot) as Sequence;
      return { sequence, sample, indexes: sequence.addToBatch(tokens, sample) };
    });
    await context.decodeBatch();
    this.#meter.add(total - promptTokens, promptTokens, this.#nowMs() - startedMs);
    return entries;
  }

  async #sample(
    entries: readonly { sequence: Sequence; sample: boolean; indexes: Uint32Array }[],
    events: GenerationEvent[],
  ): Promise<void> {
    for (const { sequence, indexes } of entries) if (indexes.length > 0) await sequence.scorePrompt(indexes);
    const sampling = entries.filter(({ sample }) => sample);
    const [first, ...others] = sampling;
    if (first === undefined) return;
    const take = ({ sequence, indexes }: (typeof entries)[number]) => sequence.takeTokens(indexes, events);
    // The engine reorders its outputs on first access, without a lock: one sequence alone settles them.
    const ended = [await take(first), ...(await Promise.all(others.map(take)))];
    for (const [i, { sequence }] of sampling.entries()) {
      if (sequence.hasWrongGuesses && !this.#cutWrongGuesses(sequence, events)) continue;
      if (ended[i]) this.#release(sequence);
    }
  }

  /** Takes guesses that did not come true out of the engine; false when it can't, which ends the generation. */
  #cutWrongGuesses(sequence: Sequence, events: GenerationEvent[]): boolean {
    if (this.#engine.addon.context.removeTokenCellsFromSequence(sequence.slot, sequence.position, -1)) return true;
    events.push({ type: "failed", key: sequence.key, message: "The engine can't take back what was guessed." });
    sequence.release();
    this.#running.delete(sequence.key);
    this.#slots.giveBack(sequence.slot, undefined);
    return false;
  }

  #release(sequence: Sequence): void {
    sequence.release();
    this.#running.delete(sequence.key);
    this.#prefixes.release(sequence);
  }
}
