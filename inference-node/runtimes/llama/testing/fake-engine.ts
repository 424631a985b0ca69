// An engine of plain arrays for tests: what it samples depends on every token that a sequence holds, in order, so that a wrong
// or missing one shows.
import type { Addon, AddonContext } from "../addon.ts";
import type { Engine } from "../engine.ts";

export interface FakeEngineOptions {
  readonly sequences: number;
  readonly contextLength: number;
  readonly batchTokens: number;
  /** Whether a sequence can be cut; recurrent models' can't. */
  readonly canCut?: boolean;
  readonly onStep?: (batch: readonly { readonly sequence: number; readonly tokens: number }[]) => void | Promise<void>;
  /** What follows some tokens, in place of `fakeNext`. */
  readonly next?: (tokens: readonly number[]) => number;
  /** Throws to fail a save or a load. */
  readonly onCopy?: (what: "save" | "load", path: string) => void;
}

/** Tokens of the fake vocabulary; 0 ends a generation and is never sampled but by chance of 1 in this many. */
const fakeVocabulary = 61;

/** The token that follows these, by this engine. */
function fakeNext(tokens: Iterable<number>): number {
  let hash = 7;
  for (const token of tokens) hash = (Math.imul(hash, 31) + token) >>> 0;
  return hash % fakeVocabulary;
}

/** The tokens that follow a prompt, up to the end of generation (left out) or `max`. */
export function fakeAnswer(prompt: Iterable<number>, max: number): number[] {
  const tokens = [...prompt];
  const answer: number[] = [];
  while (answer.length < max) {
    const token = fakeNext(tokens);
    if (token === 0) break;
    tokens.push(token);
    answer.push(token);
  }
  return answer;
}

class FakeContext implements AddonContext {
  readonly cells = new Map<number, number[]>();
  readonly files = new Map<string, number[]>();
  readonly #options: FakeEngineOptions;
  #batch: { sequence: number; tokens: number[] }[] = [];
  #outputs: { sequence: number; held: number }[] = [];
  #decoding = false;

  constructor(options: FakeEngineOptions) {
    this.#options = options;
  }

  initBatch(): void {
    this.#batch = [];
    this.#outputs = [];
  }

  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array {
    const held = this.#cellsOf(sequence).length;
    if (position !== held) throw new Error(`sequence ${sequence} holds ${held} tokens, not ${position}`);
    if (position + tokens.length > this.#options.contextLength) throw new Error("the context is full");
    this.#batch.push({ sequence, tokens: [...tokens] });
    return logitIndexes.map((index) => this.#outputs.push({ sequence, held: position + index + 1 }) - 1);
  }

  async decodeBatch(): Promise<void> {
    this.#decoding = true;
    await this.#options.onStep?.(this.#batch.map(({ sequence, tokens }) => ({ sequence, tokens: tokens.length })));
    for (const { sequence, tokens } of this.#batch) this.#cellsOf(sequence).push(...tokens);
    this.#decoding = false;
  }

  sampleToken(batchIndex: number): Promise<number>;
  sampleToken(batchIndex: number, ...rest: unknown[]): Promise<[number, number[] | undefined, number | undefined]>;
  async sampleToken(batchIndex: number, ...rest: unknown[]): Promise<never> {
    const output = this.#outputs[batchIndex];
    if (output === undefined) throw new Error(`no logits at ${batchIndex}`);
    const next = this.#options.next ?? fakeNext;
    const token = next(this.#cellsOf(output.sequence).slice(0, output.held));
    return (rest.length > 1 ? [token, [token, 1], 1] : token) as never;
  }

  disposeSequence(sequence: number): void {
    this.#mustRest();
    this.cells.set(sequence, []);
  }

  removeTokenCellsFromSequence(sequence: number, start: number): boolean {
    this.#mustRest();
    if (this.#options.canCut === false) return false;
    this.cells.set(sequence, this.#cellsOf(sequence).slice(0, start));
    return true;
  }

  async saveSequenceStateToFile(path: string, sequence: number, tokens: Uint32Array): Promise<number> {
    this.#mustRest();
    this.#options.onCopy?.("save", path);
    const cells = this.#cellsOf(sequence);
    if (cells.join() !== [...tokens].join()) throw new Error("the noted tokens are not those in the sequence");
    this.files.set(path, [...cells]);
    return cells.length * 1000;
  }

  async loadSequenceStateFromFile(path: string, sequence: number): Promise<Uint32Array> {
    this.#mustRest();
    this.#options.onCopy?.("load", path);
    const cells = this.files.get(path);
    if (cells === undefined) throw new Error(`no file ${path}`);
    this.cells.set(sequence, [...cells]);
    return Uint32Array.from(cells);
  }

  #mustRest(): void {
    if (this.#decoding) throw new Error("the engine was touched while it decodes a batch");
  }

  #cellsOf(sequence: number): number[] {
    const cells = this.cells.get(sequence) ?? [];
    this.cells.set(sequence, cells);
    return cells;
  }
}

/** An engine and its context. */
export function fakeEngine(options: FakeEngineOptions): { engine: Engine; context: FakeContext } {
  const context = new FakeContext(options);
  const { sequences, batchTokens, contextLength } = options;
  const engine = {
    addon: { context, createSampler: () => ({ applyConfig: () => undefined, dispose: () => undefined }) },
    vocabulary: { bytes: (token: number) => new TextEncoder().encode(`${token} `), size: fakeVocabulary },
    info: { sequences, batchTokens, contextLength },
    isEndOfGeneration: (token: number) => token === 0,
    endOfGenerationTokens: [0],
  } as unknown as Engine & { addon: Addon };
  return { engine, context };
}
