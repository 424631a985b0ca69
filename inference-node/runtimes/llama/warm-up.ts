// Runs the engine once before it is called ready, so that no request waits for kernels to compile or weights to be read.
import type { Engine } from "./engine.ts";

/** Prompt tokens of the warm-up where kernels were compiled long ago: enough to touch every weight. */
const cpuTokens = 4;
/** Where they may have to be compiled now, those of large batches too. */
const gpuTokensMax = 512;

/**
 * Prefills a few tokens, decodes one, and leaves no trace of them. Costs what two steps cost; on a GPU, the first
 * time, as long as its driver compiles. The load's time limit bounds it.
 */
export async function warmUp(engine: Engine): Promise<void> {
  const { addon, info, vocabulary } = engine;
  const { context } = addon;
  const wanted = info.gpu === "cpu" ? cpuTokens : Math.min(gpuTokensMax, info.batchTokens);
  const count = Math.max(1, Math.min(wanted, info.batchTokens, info.contextLength - 2));
  const sampler = addon.createSampler({ temperature: 0 });
  try {
    let tokens = Uint32Array.from({ length: count }, (_, i) => i % vocabulary.size);
    for (let position = 0; position < count + 1; position += tokens.length, tokens = Uint32Array.of(0)) {
      context.initBatch(tokens.length);
      const [index] = context.addToBatch(0, position, tokens, Uint32Array.of(tokens.length - 1));
      await context.decodeBatch();
      await context.sampleToken(index as number, sampler);
    }
  } finally {
    sampler.dispose();
    context.disposeSequence(0);
  }
}
