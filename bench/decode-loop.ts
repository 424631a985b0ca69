// The fastest plain loop over an engine: all running sequences in one batch, nothing around it. The yardstick.
import type { LoopRequest } from "./loop-protocol.ts";

/** What the loop needs of an engine; node-llama-cpp's native context has it. */
export interface LoopEngine {
  initBatch(size: number): void;
  /** Gives the batch index of each token whose logits were asked for. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  /** Samples with the sequence's own sampler. */
  sampleToken(batchIndex: number, sequence: number): Promise<number>;
  /** Forgets a sequence's tokens, so that the next prompt starts at position 0. */
  disposeSequence(sequence: number): void;
  isEndOfGeneration(token: number): boolean;
}

export interface LoopRun {
  /** One list of tokenised prompts a stream; stream n runs as sequence n. */
  readonly streams: readonly (readonly Uint32Array[])[];
  readonly maxTokens: number;
  readonly ignoreEos: boolean;
  /** Most tokens in one batch; at least the number of streams. */
  readonly batchTokens: number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

interface Sequence {
  readonly id: number;
  readonly prompts: readonly Uint32Array[];
  request: { promptTokens: number; startedAt: number; tokenTimes: number[] };
  nextPrompt: number;
  /** Tokens that the engine hasn't seen: what is left of the prompt, or the token sampled last. */
  pending: Uint32Array;
  position: number;
}

const noLogits = new Uint32Array();

/** Runs all streams to their ends. Rejects with the engine's error. */
export async function runDecodeLoop(engine: LoopEngine, run: LoopRun): Promise<LoopRequest[]> {
  const finished: LoopRequest[] = [];
  let running: Sequence[] = [];
  for (const [id, prompts] of run.streams.entries()) {
    const sequence: Sequence = {
      id,
      prompts,
      request: { promptTokens: 0, startedAt: 0, tokenTimes: [] },
      nextPrompt: 0,
      pending: noLogits,
      position: 0,
    };
    if (begin(sequence, run.now())) running.push(sequence);
  }
  while (running.length > 0) {
    const sampled = await step(engine, running, run.batchTokens);
    const now = run.now();
    for (const { sequence, token } of sampled) {
      sequence.request.tokenTimes.push(now);
      sequence.pending = Uint32Array.of(token);
      const ended = !run.ignoreEos && engine.isEndOfGeneration(token);
      if (!ended && sequence.request.tokenTimes.length < run.maxTokens) continue;
      finished.push(sequence.request);
      engine.disposeSequence(sequence.id);
      if (!begin(sequence, now)) running = running.filter((other) => other !== sequence);
    }
  }
  return finished;
}

/** Puts a stream's next prompt in place; false when it has no more. */
function begin(sequence: Sequence, now: number): boolean {
  const prompt = sequence.prompts[sequence.nextPrompt];
  if (prompt === undefined) return false;
  sequence.nextPrompt += 1;
  sequence.pending = prompt;
  sequence.position = 0;
  sequence.request = { promptTokens: prompt.length, startedAt: now, tokenTimes: [] };
  return true;
}

/** One batch: a token of every decoding sequence, then prompts as far as there is room; gives what was sampled. */
async function step(
  engine: LoopEngine,
  running: readonly Sequence[],
  batchTokens: number,
): Promise<{ sequence: Sequence; token: number }[]> {
  const shares = shareBatch(running, batchTokens);
  engine.initBatch(shares.reduce((total, share) => total + share.tokens.length, 0));
  const sampling: { sequence: Sequence; batchIndex: number }[] = [];
  for (const { sequence, tokens } of shares) {
    const last = tokens.length === sequence.pending.length;
    const wanted = last ? Uint32Array.of(tokens.length - 1) : noLogits;
    const [batchIndex] = engine.addToBatch(sequence.id, sequence.position, tokens, wanted);
    sequence.position += tokens.length;
    sequence.pending = sequence.pending.subarray(tokens.length);
    if (last && batchIndex !== undefined) sampling.push({ sequence, batchIndex });
  }
  await engine.decodeBatch();
  // The engine puts its outputs in order on first access, without a lock: one goes first, then the rest together.
  const [first, ...rest] = sampling;
  if (first === undefined) return [];
  const sample = async ({ sequence, batchIndex }: (typeof sampling)[number]) => ({
    sequence,
    token: await engine.sampleToken(batchIndex, sequence.id),
  });
  return [await sample(first), ...(await Promise.all(rest.map(sample)))];
}

/** Who gets how much of a batch, by sequence id: the engine splits batches whose ids are out of order. */
function shareBatch(running: readonly Sequence[], batchTokens: number): { sequence: Sequence; tokens: Uint32Array }[] {
  const isDecoding = (sequence: Sequence): boolean => sequence.request.tokenTimes.length > 0;
  const decoding = running.filter(isDecoding);
  const prefilling = running.filter((sequence) => !isDecoding(sequence));
  prefilling.sort((a, b) => a.request.startedAt - b.request.startedAt || a.id - b.id);
  const shares: { sequence: Sequence; tokens: Uint32Array }[] = [];
  let room = batchTokens;
  for (const sequence of [...decoding, ...prefilling]) {
    if (room === 0) break;
    const tokens = sequence.pending.subarray(0, room);
    room -= tokens.length;
    shares.push({ sequence, tokens });
  }
  return shares.sort((a, b) => a.sequence.id - b.sequence.id);
}
