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
  /** What the device is good for; the CPU's when left out. */
  readonly device?: DeviceDefaults;
}

export interface Capacity {
  readonly sequences: number;
  /** Tokens of one sequence, prompt and output together. */
  readonly contextLength: number;
  readonly kvBytes: number;
}

/** What an operator who names nothing gets on a device. */
export interface DeviceDefaults {
  /** Sequences to keep while the context shrinks. */
  readonly sequencesWanted: number;
  /** Tokens of a sequence below which rather the sequences shrink. */
  readonly contextLengthFloor: number;
  /** Tokens of one step, prompts and decodes together. */
  readonly batchTokens: number;
}

const cpuDefaults: DeviceDefaults = { sequencesWanted: 16, contextLengthFloor: 2048, batchTokens: 512 };
/**
 * By the memory of all cards together, the largest first, in bytes: an A100 of 80 GB, one of 40 GB, a card of 16 or 24 GB,
 * and what is smaller. Estimates from published figures, to be tried on the hardware.
 */
const gpuDefaults: readonly (DeviceDefaults & { vramMin: number })[] = [
  { vramMin: 70e9, sequencesWanted: 64, contextLengthFloor: 8192, batchTokens: 2048 },
  { vramMin: 35e9, sequencesWanted: 32, contextLengthFloor: 8192, batchTokens: 2048 },
  { vramMin: 14e9, sequencesWanted: 16, contextLengthFloor: 4096, batchTokens: 1024 },
  { vramMin: 0, sequencesWanted: 8, contextLengthFloor: 2048, batchTokens: 512 },
];

/** The defaults of a machine with so many bytes of GPU memory that the model may use; 0 is a CPU. */
export function deviceDefaults(vramBytes: number): DeviceDefaults {
  return (vramBytes > 0 ? gpuDefaults.find(({ vramMin }) => vramBytes >= vramMin) : undefined) ?? cpuDefaults;
}

/** Contexts come in multiples of this (llama.cpp pads them). */
const contextGranule = 256;

/**
 * Chooses sequences and context. What the operator fixed stays; otherwise the context shrinks by halves down to the
 * device's floor (2,048 tokens on a CPU) to keep its sequences (16), then the sequences shrink. Throws a sentence when not even one sequence fits.
 */
export function planCapacity(limits: CapacityLimits): Capacity {
  const { kvBytesMax, trainContextLength, kvBytesPerToken } = limits;
  const { sequencesWanted, contextLengthFloor } = limits.device ?? cpuDefaults;
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
 * Memory for keys and values when the operator names none. On a CPU an eighth of the machine's, at most 0.8 GB: the engine
 * writes all of it when it starts, a second for each 1.6 GB, and a restart must take less than two. On a GPU what the
 * weights leave, less a tenth and 1 GB for the batch's own buffers.
 */
export function defaultKvBytes(totalMemoryBytes: number, freeVramBytes = 0): number {
  if (freeVramBytes > 0) return Math.max(freeVramBytes * 0.9 - 1e9, freeVramBytes * 0.5);
  return Math.min(totalMemoryBytes / 8, 0.8e9);
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
