// The decode loop over an engine that checks every call.
import { describe, expect, it } from "vitest";
import { type LoopEngine, type LoopRun, runDecodeLoop } from "./decode-loop.ts";
import type { LoopRequest } from "./loop-protocol.ts";

interface Item {
  readonly sequence: number;
  readonly position: number;
  readonly tokens: readonly number[];
  readonly logits: readonly number[];
}

const endToken = 0;

/** An engine that checks what llama.cpp would: positions without gaps, batches not over their size, known indexes. */
class CheckedEngine implements LoopEngine {
  readonly batches: Item[][] = [];
  readonly samplings: number[] = [];
  clock = 0;
  sampledAtOnceMax = 0;
  readonly #positions = new Map<number, number>();
  #size = 0;
  #logitOwners: number[] = [];
  #sampling = 0;
  #sampledInBatch = 0;
  readonly #next: (sequence: number, position: number) => number;

  constructor(next: (sequence: number, position: number) => number = () => 5) {
    this.#next = next;
  }

  initBatch(size: number): void {
    this.#size = size;
    this.#logitOwners = [];
    this.#sampledInBatch = 0;
    this.batches.push([]);
  }

  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array {
    expect(position).toBe(this.#positions.get(sequence) ?? 0);
    this.#positions.set(sequence, position + tokens.length);
    this.batches.at(-1)?.push({ sequence, position, tokens: [...tokens], logits: [...logitIndexes] });
    return logitIndexes.map(() => this.#logitOwners.push(sequence) - 1);
  }

  async decodeBatch(): Promise<void> {
    const items = this.batches.at(-1) ?? [];
    expect(items.flatMap((item) => item.tokens)).toHaveLength(this.#size);
    this.clock += 10;
  }

  async sampleToken(batchIndex: number, sequence: number): Promise<number> {
    expect(this.#logitOwners[batchIndex]).toBe(sequence);
    this.#sampling += 1;
    this.#sampledInBatch += 1;
    // Whether the first was alone: the second may only begin when it is done.
    if (this.#sampledInBatch === 2) expect(this.#sampling).toBe(1);
    this.sampledAtOnceMax = Math.max(this.sampledAtOnceMax, this.#sampling);
    await new Promise(setImmediate);
    this.#sampling -= 1;
    this.samplings.push(sequence);
    return this.#next(sequence, this.#positions.get(sequence) ?? 0);
  }

  disposeSequence(sequence: number): void {
    this.#positions.set(sequence, 0);
  }

  isEndOfGeneration(token: number): boolean {
    return token === endToken;
  }
}

const prompt = (length: number): Uint32Array => new Uint32Array(length).fill(9);

function run(engine: CheckedEngine, options: Partial<LoopRun>): Promise<LoopRequest[]> {
  return runDecodeLoop(engine, {
    streams: [[prompt(3)]],
    maxTokens: 4,
    ignoreEos: false,
    batchTokens: 64,
    now: () => engine.clock,
    ...options,
  });
}

describe("runDecodeLoop", () => {
  it("feeds each sampled token back at the next position until there are enough", async () => {
    let token = 20;
    const engine = new CheckedEngine(() => token++);
    const [request] = await run(engine, {});
    expect(engine.batches.flat().map(({ position, tokens }) => [position, tokens])).toEqual([
      [0, [9, 9, 9]],
      [3, [20]],
      [4, [21]],
      [5, [22]],
    ]);
    expect(request).toEqual({ promptTokens: 3, startedAt: 0, tokenTimes: [10, 20, 30, 40] });
  });

  it("puts all running streams in one batch, sorted by sequence", async () => {
    const engine = new CheckedEngine();
    await run(engine, { streams: [[prompt(2)], [prompt(5)], [prompt(3)], [prompt(1)]] });
    expect(engine.batches).toHaveLength(4);
    for (const batch of engine.batches) expect(batch.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
  });

  it("samples the first output alone and the rest together", async () => {
    const engine = new CheckedEngine();
    await run(engine, { streams: Array.from({ length: 6 }, () => [prompt(2)]) });
    expect(engine.sampledAtOnceMax).toBe(5);
    expect(engine.samplings.slice(0, 6).toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("asks for logits only where a token is sampled", async () => {
    const engine = new CheckedEngine();
    await run(engine, { streams: [[prompt(7)]], batchTokens: 4, maxTokens: 1 });
    expect(engine.batches.flat().map(({ tokens, logits }) => [tokens.length, logits])).toEqual([
      [4, []],
      [3, [2]],
    ]);
  });

  it("lets decoding streams go first when a batch is full of prompts", async () => {
    const engine = new CheckedEngine();
    await run(engine, { streams: [[prompt(2)], [prompt(30)]], batchTokens: 8, maxTokens: 3 });
    expect(engine.batches[0]?.map(({ sequence, tokens }) => [sequence, tokens.length])).toEqual([
      [0, 2],
      [1, 6],
    ]);
    expect(engine.batches[1]?.map(({ sequence, tokens }) => [sequence, tokens.length])).toEqual([
      [0, 1],
      [1, 7],
    ]);
  });

  it("ends a stream at the model's own end, and goes past it when told to", async () => {
    const ends = (_sequence: number, position: number): number => (position === 4 ? endToken : 5);
    const [stopped] = await run(new CheckedEngine(ends), {});
    expect(stopped?.tokenTimes).toHaveLength(2);
    const [endless] = await run(new CheckedEngine(ends), { ignoreEos: true });
    expect(endless?.tokenTimes).toHaveLength(4);
  });

  it("starts a stream's next prompt from position 0 while the others go on", async () => {
    const engine = new CheckedEngine();
    const streams = [[prompt(2), prompt(4)], [prompt(2)]];
    const requests = await run(engine, { streams, maxTokens: 2 });
    expect(requests.map(({ promptTokens, startedAt }) => [promptTokens, startedAt])).toEqual([
      [2, 0],
      [2, 0],
      [4, 20],
    ]);
  });

  it("does nothing when there is nothing to do", async () => {
    expect(await run(new CheckedEngine(), { streams: [] })).toEqual([]);
  });

  it("rejects with the engine's error instead of hanging", async () => {
    const engine = new CheckedEngine();
    engine.decodeBatch = () => Promise.reject(new Error("out of memory"));
    await expect(run(engine, {})).rejects.toThrow("out of memory");
  });
});
