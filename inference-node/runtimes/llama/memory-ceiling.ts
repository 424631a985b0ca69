// Says when a child's resident memory is above what the operator allows, and when another child would be no smaller.

/** Follows one child after another. */
export class MemoryCeiling {
  readonly #bytesMax: number | undefined;
  #residentBytes: number | undefined;

  /** Undefined sets no ceiling. */
  constructor(bytesMax: number | undefined) {
    this.#bytesMax = bytesMax;
  }

  /** What the child had when it was last heard of. */
  get residentBytes(): number | undefined {
    return this.#residentBytes;
  }

  /** Takes what a child has with its model loaded; a sentence when that alone is too much. */
  loaded(residentBytes: number | undefined): string | undefined {
    this.#residentBytes = residentBytes;
    if (residentBytes === undefined || !this.#isAbove(residentBytes)) return undefined;
    return (
      `The native engine takes ${megabytes(residentBytes)} MB once the model is loaded, and SLUICE_CHILD_MEMORY_MAX_MB ` +
      `is ${megabytes(this.#bytesMax ?? 0)}: raise it, or lower SLUICE_KV_MEMORY_MB.`
    );
  }

  /** Takes a later figure; a sentence when the child has grown above the ceiling with it. */
  grown(residentBytes: number): string | undefined {
    const before = this.#residentBytes ?? 0;
    this.#residentBytes = residentBytes;
    // One that was loaded so large would be replaced for ever.
    if (!this.#isAbove(residentBytes) || this.#isAbove(before)) return undefined;
    return `The native engine has grown to ${megabytes(residentBytes)} MB, above SLUICE_CHILD_MEMORY_MAX_MB.`;
  }

  #isAbove(bytes: number): boolean {
    return this.#bytesMax !== undefined && bytes > this.#bytesMax;
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
