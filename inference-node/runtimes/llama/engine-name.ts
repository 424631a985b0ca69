// Names what computes: two engines of one name give the same numbers for the same batches.
import { createHash } from "node:crypto";

export interface EngineFacts {
  /** Of llama.cpp. */
  readonly release: string;
  readonly gpu: string;
  readonly gpuDevices: readonly string[];
  /** What the engine says of the processor features that it was built for and found. */
  readonly systemInfo: string;
  readonly flashAttention: string;
  readonly kvType: string;
}

/**
 * The engine's release, what it computes on, and eight hex digits that change with the kernels it chose: by another
 * processor, GPU or kind of attention the same request may round to another text.
 */
export function engineName(facts: EngineFacts): string {
  const { release, gpu, gpuDevices, systemInfo, flashAttention, kvType } = facts;
  const chosen = JSON.stringify([systemInfo.trim(), gpuDevices, flashAttention]);
  const kernel = createHash("sha256").update(chosen).digest("hex").slice(0, 8);
  return [`llama.cpp-${release}`, gpu, kernel, ...(kvType === "f16" ? [] : [kvType])].join("-");
}
