// How many sequences of what length fit the memory: worked out from the model, not guessed.

export interface CapacityLimits {
  /** Memory for keys and values, in bytes. */
  readonly kvBytesMax: number;
  /** Asked for by the operator; undefined lets the memory decide. */
  readonly sequences: number | undefined;
  readonly contextLength: number | undefined;
  /** What the model was trained for, in tokens. */
  readonly trainContextLength: number;
  /** Keys and values of one token, in bytes. */
  readonly kvBytesPerToken: number;
}

export interface Capacity {
  readonly sequences: number;
  /** Tokens of one sequence, prompt and output together. */
  readonly contextLength: number;
  readonly kvBytes: number;
}

const sequencesWanted = 16;
const contextLengthFloor = 2048;
/** Contexts come in multiples of this (llama.cpp pads them). */
const contextGranule = 256;

/**
 * Chooses sequences and context. What the operator fixed stays; otherwise the context shrinks by halves down to 2,048
 * tokens to keep 16 sequences, then the sequences shrink. Throws a sentence when not even one sequence fits.
 */
export function planCapacity(limits: CapacityLimits): Capacity {
  const { kvBytesMax, trainContextLength, kvBytesPerToken } = limits;
  const fits = (sequences: number, context: number): boolean => sequences * context * kvBytesPerToken <= kvBytesMax;
  let contextLength = limits.contextLength ?? trainContextLength;
  if (limits.contextLength === undefined) {
    const sequences = limits.sequences ?? sequencesWanted;
    while (!fits(sequences, contextLength) && contextLength / 2 >= contextLengthFloor) contextLength /= 2;
  }
  contextLength = Math.max(contextGranule, Math.floor(contextLength / contextGranule) * contextGranule);
  const room = Math.floor(kvBytesMax / (contextLength * kvBytesPerToken));
  const sequences = limits.sequences ?? Math.max(1, Math.min(sequencesWanted, room));
  const kvBytes = sequences * contextLength * kvBytesPerToken;
  if (!fits(sequences, contextLength)) {
    throw new Error(
      `${sequences} sequences of ${contextLength} tokens need ${megabytes(kvBytes)} MB for keys and values, and ` +
        `${megabytes(kvBytesMax)} MB are allowed; lower SLUICE_SEQUENCES or SLUICE_CONTEXT_LENGTH, or raise SLUICE_KV_MEMORY_MB`,
    );
  }
  return { sequences, contextLength, kvBytes };
}

/**
 * Memory for keys and values when the operator names none: an eighth of the machine's, at most 0.8 GB on a CPU. The engine
 * writes all of it when it starts, a second for each 1.6 GB, and a restart must take less than two.
 */
export function defaultKvBytes(totalMemoryBytes: number): number {
  return Math.min(totalMemoryBytes / 8, 0.8e9);
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
