// Chooses the slot of a new sequence and how much of its prompt need not be computed again. Pure: state in, placement out.

import { shortPromptTokensMax } from "../../scheduler.ts";

/** Tokens whose keys and values exist somewhere, and who may use them. */
export interface CachedTokens {
  readonly tokens: Uint32Array;
  /** Only a prompt of the same salt may use them. */
  readonly salt: string;
}

/** A free slot with what its last sequence left in it. */
export interface FreeSlot extends CachedTokens {
  readonly slot: number;
  /** Rises with each use. */
  readonly lastUsed: number;
}

/** A slot whose sequence runs. `tokens` are those in the model and the rest of its prompt, which will be. */
export interface BusySlot extends CachedTokens {
  readonly slot: number;
  /** How many of the tokens are in the model now. */
  readonly held: number;
  /** Whether its prompt is a long one, which is computed in small pieces while others decode. */
  readonly long: boolean;
}

/** A state that was saved. */
export interface SavedState extends CachedTokens {
  readonly id: number;
}

export interface PrefixRequest extends CachedTokens {
  /** False when every token of the prompt must be computed: nothing is reused. */
  readonly reuse: boolean;
}

/** Where the reused tokens come from. */
export type PrefixSource =
  | { readonly kind: "none" }
  /** The slot itself holds them. */
  | { readonly kind: "slot" }
  /** Another free slot, to be copied. */
  | { readonly kind: "free"; readonly slot: number }
  /** A running sequence, to be copied when it has come that far. */
  | { readonly kind: "busy"; readonly slot: number }
  | { readonly kind: "saved"; readonly id: number };

export interface Placement {
  readonly slot: number;
  /** Tokens of the prompt that need not be computed; always fewer than the prompt has, since its last yields the logits. */
  readonly reused: number;
  readonly source: PrefixSource;
}

export interface PrefixState {
  /** At least one. */
  readonly free: readonly FreeSlot[];
  readonly busy: readonly BusySlot[];
  /** The slots of all sequences that run in the shared batch, also of those from which nothing may be taken. */
  readonly taken: ReadonlySet<number>;
  readonly saved: readonly SavedState[];
  /** Whether copying a state of so many tokens costs less than computing so many. */
  readonly worthCopying: (tokensSaved: number, stateTokens: number) => boolean;
}

/** How many tokens two prompts have in common from their first on. */
export function commonPrefix(a: Uint32Array, b: Uint32Array): number {
  const length = Math.min(a.length, b.length);
  let n = 0;
  while (n < length && a[n] === b[n]) n += 1;
  return n;
}

/** Places a prompt. Takes the longest prefix that may be used, and of the slots the one that is missed least. */
export function placePrompt(prompt: PrefixRequest, state: PrefixState): Placement {
  const usable = (cached: CachedTokens): number =>
    prompt.reuse && cached.salt === prompt.salt
      ? Math.min(commonPrefix(prompt.tokens, cached.tokens), prompt.tokens.length - 1)
      : 0;
  const victim = leastMissed(state.free, state.taken);
  const inPlace = best(state.free, usable);
  const keepsMost = inPlace !== undefined && 2 * inPlace.common >= inPlace.item.tokens.length;
  // A slot that holds mostly something else is better copied from than cut: a long chat is worth more than its first lines.
  const takes = inPlace !== undefined && (keepsMost || inPlace.item === victim) ? inPlace : undefined;
  const without = takes?.common ?? 0;
  const copy = bestCopy(prompt, inPlace, state, usable);
  if (copy !== undefined && copy.common > without && state.worthCopying(copy.common - without, copy.stateTokens)) {
    return { slot: victim.slot, reused: copy.common, source: copy.source };
  }
  if (takes !== undefined) return { slot: takes.item.slot, reused: takes.common, source: { kind: "slot" } };
  return { slot: victim.slot, reused: 0, source: { kind: "none" } };
}

interface Copy {
  readonly common: number;
  readonly stateTokens: number;
  readonly source: PrefixSource;
}

/** The longest prefix that a copy brings; at equal length the cheapest: a saved state needs no saving, a free slot no waiting. */
function bestCopy(
  prompt: PrefixRequest,
  free: { item: FreeSlot; common: number } | undefined,
  { busy, saved }: PrefixState,
  usable: (cached: CachedTokens) => number,
): Copy | undefined {
  const copies: Copy[] = [];
  const add = (found: { item: CachedTokens; common: number } | undefined, source: PrefixSource): void => {
    if (found) copies.push({ common: found.common, stateTokens: found.item.tokens.length, source });
  };
  const state = best(saved, usable);
  add(state, { kind: "saved", id: state?.item.id ?? 0 });
  add(free, { kind: "free", slot: free?.item.slot ?? 0 });
  // A short prompt is computed before a long one has come that far: it takes what is there, and does not wait.
  const patient = prompt.tokens.length > shortPromptTokensMax;
  const running = best(busy, (slot) => (slot.long && !patient ? Math.min(usable(slot), slot.held) : usable(slot)));
  add(running, { kind: "busy", slot: running?.item.slot ?? 0 });
  return copies.reduce<Copy | undefined>(
    (longest, copy) => (longest === undefined || copy.common > longest.common ? copy : longest),
    undefined,
  );
}

/** The item with the most usable tokens, of those that have any. */
function best<T extends CachedTokens>(
  items: readonly T[],
  usable: (cached: T) => number,
): { item: T; common: number } | undefined {
  let found: { item: T; common: number } | undefined;
  for (const item of items) {
    const common = usable(item);
    if (common > (found?.common ?? 0)) found = { item, common };
  }
  return found;
}

/**
 * The slot to overwrite. First one beside those that run, best in a gap between them: the engine computes a batch in one go
 * only if its slots follow each other without a gap, and each go reads all of the weights. Then an empty one, the lowest
 * first; else the one that was not used for longest.
 */
function leastMissed(free: readonly FreeSlot[], taken: ReadonlySet<number>): FreeSlot {
  const neighbours = ({ slot }: FreeSlot): number => Number(taken.has(slot - 1)) + Number(taken.has(slot + 1));
  return free.reduce((least, slot) => {
    if (neighbours(slot) !== neighbours(least)) return neighbours(slot) > neighbours(least) ? slot : least;
    if (slot.tokens.length === 0 || least.tokens.length === 0) {
      if (slot.tokens.length !== least.tokens.length) return slot.tokens.length === 0 ? slot : least;
      return slot.slot < least.slot ? slot : least;
    }
    return slot.lastUsed < least.lastUsed ? slot : least;
  });
}
