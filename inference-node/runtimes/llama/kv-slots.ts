// What the engine's sequences hold: the tokens whose keys and values are in each slot, also after its generation ended.
import type { AddonContext } from "./addon.ts";
import type { FreeSlot } from "./prefix-plan.ts";

interface Held {
  tokens: Uint32Array;
  salt: string;
  lastUsed: number;
  /** Whether they were offered to the state store since they were put there. */
  saved: boolean;
}

const nothing: Uint32Array = new Uint32Array();

/** The slots of one context. Slots that hold no sequence keep their tokens until somebody needs the slot. */
export class KvSlots {
  readonly #context: AddonContext;
  readonly #held: Held[];
  readonly #free: Set<number>;
  #uses = 0;

  constructor(context: AddonContext, slots: number) {
    this.#context = context;
    this.#held = Array.from({ length: slots }, () => ({ tokens: nothing, salt: "", lastUsed: 0, saved: false }));
    this.#free = new Set(this.#held.keys());
  }

  get freeCount(): number {
    return this.#free.size;
  }

  /** The free slots and what they hold. */
  free(): FreeSlot[] {
    return Array.from(this.#free, (slot) => ({ slot, ...this.#of(slot) }));
  }

  isFree(slot: number): boolean {
    return this.#free.has(slot);
  }

  /** What a free slot holds; a busy one's sequence knows better. */
  held(slot: number): { readonly tokens: Uint32Array; readonly salt: string; readonly saved: boolean } {
    return this.#of(slot);
  }

  /** Notes that what a free slot holds was offered to the state store. */
  noteSaved(slot: number): void {
    this.#of(slot).saved = true;
  }

  /** Takes a free slot. What it holds stays until `cut` or `clear`. */
  take(slot: number): void {
    this.#free.delete(slot);
  }

  /** Gives a slot back with the tokens that are in it; undefined forgets them. */
  giveBack(slot: number, held: { tokens: Uint32Array; salt: string } | undefined): void {
    this.#free.add(slot);
    if (held === undefined || held.tokens.length === 0) this.clear(slot);
    else this.hold(slot, held.tokens, held.salt);
  }

  /** Notes what was put into a slot. */
  hold(slot: number, tokens: Uint32Array, salt: string): void {
    this.#uses += 1;
    this.#held[slot] = { tokens, salt, lastUsed: this.#uses, saved: false };
  }

  /** Keeps the first `count` tokens of a slot. False when the engine can't cut there; the slot is then empty. */
  cut(slot: number, count: number): boolean {
    const held = this.#of(slot);
    if (count <= 0) {
      this.clear(slot);
      return true;
    }
    if (count >= held.tokens.length) return count === held.tokens.length;
    // Some architectures keep one state for a whole sequence, which has no shorter version.
    if (!this.#context.removeTokenCellsFromSequence(slot, count, -1)) {
      this.clear(slot);
      return false;
    }
    held.tokens = held.tokens.subarray(0, count);
    return true;
  }

  clear(slot: number): void {
    this.#context.disposeSequence(slot);
    this.#held[slot] = { tokens: nothing, salt: "", lastUsed: 0, saved: false };
  }

  #of(slot: number): Held {
    return this.#held[slot] as Held;
  }
}
