// Saved states of sequences, in files: bounded in bytes and number, the least recently used goes first.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AddonContext } from "./addon.ts";
import { commonPrefix, type SavedState } from "./prefix-plan.ts";

export interface StateStoreOptions {
  readonly context: Pick<AddonContext, "saveSequenceStateToFile" | "loadSequenceStateFromFile">;
  /** Tokens of one sequence: no state has more. */
  readonly contextLength: number;
  /** Folder of this process alone; made when it is needed. */
  readonly dir: string;
  /** Most bytes of states. 0 keeps none for longer than a copy takes. */
  readonly bytesMax: number;
  /** Where states go that the first folder has no room for; undefined drops them. */
  readonly spill?: { readonly dir: string; readonly bytesMax: number } | undefined;
  readonly warn: (message: string) => void;
}

interface Entry extends SavedState {
  readonly path: string;
  readonly bytes: number;
  readonly spilled: boolean;
}

/** Every prompt is compared with each of them. */
const entriesMax = 256;

/** All methods are for the step loop alone, one at a time and never while a batch is decoded. */
export class StateStore {
  readonly #options: StateStoreOptions;
  /** In order of use, the least recent first. */
  readonly #entries = new Map<number, Entry>();
  #nextId = 1;
  #warned = false;

  constructor(options: StateStoreOptions) {
    this.#options = options;
  }

  /** Whether states are kept for prompts that come later. */
  get keeps(): boolean {
    return this.#options.bytesMax > 0;
  }

  get bytes(): number {
    return this.#bytesOf(false) + this.#bytesOf(true);
  }

  list(): readonly SavedState[] {
    return [...this.#entries.values()];
  }

  /** Whether a saved state of that salt begins with these tokens. */
  covers(tokens: Uint32Array, salt: string): boolean {
    return this.#covering(tokens, salt) !== undefined;
  }

  /** Saves a slot's state; gives the id of a state that begins with the tokens, or undefined when it can't be saved. */
  async save(slot: number, tokens: Uint32Array, salt: string): Promise<number | undefined> {
    const known = this.#covering(tokens, salt);
    if (known !== undefined) {
      this.#touch(known);
      return known.id;
    }
    const id = this.#nextId++;
    const path = join(this.#options.dir, `${id}.state`);
    try {
      mkdirSync(this.#options.dir, { recursive: true, mode: 0o700 });
      const bytes = await this.#options.context.saveSequenceStateToFile(path, slot, tokens);
      for (const entry of this.#entries.values()) {
        // The new one serves whoever the shorter one would have served.
        if (entry.salt === salt && commonPrefix(entry.tokens, tokens) === entry.tokens.length) this.#drop(entry);
      }
      this.#entries.set(id, { id, tokens: tokens.slice(), salt, path, bytes, spilled: false });
      return id;
    } catch (thrown) {
      this.#fail("saved", path, thrown);
      return undefined;
    }
  }

  /** Puts a saved state into a slot; gives its tokens, or undefined when that failed and the slot holds nothing usable. */
  async load(id: number, slot: number): Promise<Uint32Array | undefined> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    try {
      await this.#options.context.loadSequenceStateFromFile(entry.path, slot, this.#options.contextLength);
      this.#touch(entry);
      return entry.tokens;
    } catch (thrown) {
      this.#drop(entry);
      this.#fail("read back", entry.path, thrown);
      return undefined;
    }
  }

  /** Copies a slot's state into another, by a file that nobody else gets; undefined when that failed, and the other slot then holds nothing usable. */
  async copy(from: number, to: number, tokens: Uint32Array): Promise<true | undefined> {
    const { context, contextLength, dir } = this.#options;
    const path = join(dir, "moving.state");
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      await context.saveSequenceStateToFile(path, from, tokens);
      await context.loadSequenceStateFromFile(path, to, contextLength);
      return true;
    } catch (thrown) {
      this.#fail("copied", path, thrown, "streams stay where they are");
      return undefined;
    } finally {
      remove(path);
    }
  }

  /** Brings the store within its bounds: spills or drops what was not used for longest. */
  trim(): void {
    const { bytesMax, spill } = this.#options;
    for (const entry of this.#entries.values()) {
      if (this.#bytesOf(false) <= bytesMax) break;
      if (!entry.spilled) this.#spillOrDrop(entry);
    }
    for (const entry of this.#entries.values()) {
      if (this.#bytesOf(true) <= (spill?.bytesMax ?? 0)) break;
      if (entry.spilled) this.#drop(entry);
    }
    for (const entry of this.#entries.values()) {
      if (this.#entries.size <= entriesMax) break;
      this.#drop(entry);
    }
  }

  #covering(tokens: Uint32Array, salt: string): Entry | undefined {
    for (const entry of this.#entries.values()) {
      if (entry.salt === salt && commonPrefix(entry.tokens, tokens) === tokens.length) return entry;
    }
    return undefined;
  }

  #bytesOf(spilled: boolean): number {
    let bytes = 0;
    for (const entry of this.#entries.values()) if (entry.spilled === spilled) bytes += entry.bytes;
    return bytes;
  }

  #touch(entry: Entry): void {
    this.#entries.delete(entry.id);
    this.#entries.set(entry.id, entry);
  }

  #spillOrDrop(entry: Entry): void {
    const { spill } = this.#options;
    if (spill === undefined || entry.bytes > spill.bytesMax) {
      this.#drop(entry);
      return;
    }
    const path = join(spill.dir, `${entry.id}.state`);
    try {
      mkdirSync(spill.dir, { recursive: true, mode: 0o700 });
      copyFileSync(entry.path, path);
      remove(entry.path);
      // In its old place in the order of use.
      this.#entries.set(entry.id, { ...entry, path, spilled: true });
    } catch (thrown) {
      this.#drop(entry);
      this.#fail("spilled", path, thrown);
    }
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.id);
    remove(entry.path);
  }

  /** A full disk must not end the streams: copies are a help, never a need. Said once. */
  #fail(what: string, path: string, thrown: unknown, instead = "prompts are computed anew"): void {
    remove(path);
    if (this.#warned) return;
    this.#warned = true;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    this.#options.warn(`a prompt's state could not be ${what} (${reason}); ${instead} instead`);
  }
}

/** Removes a file if that can be done: where the folder is gone or may not be written, it says so for missing files, too. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What could not be put there, or be taken away, is no reason to end anybody's stream.
  }
}
