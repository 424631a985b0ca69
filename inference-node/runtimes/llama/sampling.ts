// One request's sampler, and raw log-probabilities beside it.
import type { Addon, AddonSampler, AddonSamplerConfig } from "./addon.ts";
import type { GateSampling } from "./grammar-gate.ts";
import type { SamplingOptions, TokenScore } from "./protocol.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** What the options of one request are turned into the engine's by. */
export interface SamplerSurroundings {
  readonly endOfGenerationTokens: readonly number[];
  readonly contextLength: number;
  /** They count for the repetition penalty alone. */
  readonly promptTokens: Uint32Array;
  /** Tokens that were generated already; the engine starts its history again when it differs from these. */
  readonly generated: readonly number[];
  readonly gate?: GateSampling | undefined;
}

/** Turns a request's options into the engine's. Until `minTokens` are generated, no token that ends it can be drawn. */
export function samplerConfig(
  options: SamplingOptions,
  { endOfGenerationTokens, contextLength, promptTokens, generated, gate }: SamplerSurroundings,
): AddonSamplerConfig {
  const { presencePenalty, frequencyPenalty, repetitionPenalty } = options;
  const generatedOnly = presencePenalty !== 0 || frequencyPenalty !== 0;
  const config: AddonSamplerConfig = {
    temperature: options.temperature,
    topP: options.topP,
    minP: options.minP,
    seed: options.seed,
  };
  if (options.topK > 0) config.topK = options.topK;
  if (generatedOnly || repetitionPenalty !== 1) {
    config.repeatPenalty = repetitionPenalty;
    config.repeatPenaltyPresencePenalty = presencePenalty;
    config.repeatPenaltyFrequencyPenalty = frequencyPenalty;
    // The engine keeps one history for all three: presence and frequency are about what was generated (OpenAI's
    // definition), a repetition penalty alone also about the prompt.
    config.repeatPenaltyMaxTokens = contextLength;
    config.repeatPenaltyTokens = Uint32Array.from([...(generatedOnly ? [] : promptTokens), ...generated]);
  }
  const biases = new Map(options.logitBias.map(({ tokenId, bias }) => [tokenId, bias <= -100 ? -Infinity : bias]));
  if (options.ignoreEos || generated.length < options.minTokens)
    for (const token of endOfGenerationTokens) biases.set(token, -Infinity);
  for (const token of gate?.banned ?? []) biases.set(token, -Infinity);
  if (gate?.state !== undefined) config.grammarEvaluationState = gate.state;
  if (biases.size > 0) {
    config.tokenBiasKeys = Uint32Array.from(biases.keys());
    config.tokenBiasValues = Float32Array.from(biases.values());
  }
  return config;
}

/** Tokens that come with their probability in one cheap call; a rarer one costs the whole vocabulary. */
const wideTop = 1024;

/**
 * Scores tokens by the model's own distribution, before any sampling parameter. The engine gives probabilities only
 * after a sampler; a greedy one gives the likeliest token's over the whole vocabulary, a top-k one ratios to it.
 */
export class Scorer {
  readonly #addon: Addon;
  readonly #vocabulary: Vocabulary;
  readonly #samplers = new Map<number, AddonSampler>();

  constructor(addon: Addon, vocabulary: Vocabulary) {
    this.#addon = addon;
    this.#vocabulary = vocabulary;
  }

  /** The raw log-probability of `token` at a batch index of the last step, with the `top` likeliest. */
  async score(batchIndex: number, token: number, top: number): Promise<TokenScore> {
    const greedy = this.#sampler(0);
    const [best, , bestProbability] = await this.#addon.context.sampleToken(batchIndex, greedy, false, true);
    const bestLogprob = Math.log(bestProbability ?? 0);
    let likeliest = top > 0 || token !== best ? await this.#likeliest(batchIndex, Math.max(top, 20), bestLogprob) : [];
    let found = token === best ? bestLogprob : likeliest.find(({ id }) => id === token)?.logprob;
    for (const k of [wideTop, this.#vocabulary.size]) {
      if (found !== undefined) break;
      const wider = await this.#likeliest(batchIndex, k, bestLogprob);
      found = wider.find(({ id }) => id === token)?.logprob;
      if (likeliest.length === 0) likeliest = wider;
    }
    return {
      id: token,
      bytes: this.#vocabulary.bytes(token),
      logprob: found ?? -Infinity,
      top: likeliest.slice(0, top).map(({ id, logprob }) => ({ id, bytes: this.#vocabulary.bytes(id), logprob })),
    };
  }

  /** Frees the native samplers. */
  dispose(): void {
    for (const sampler of this.#samplers.values()) sampler.dispose();
    this.#samplers.clear();
  }

  async #likeliest(batchIndex: number, k: number, bestLogprob: number): Promise<{ id: number; logprob: number }[]> {
    const [, pairs] = await this.#addon.context.sampleToken(batchIndex, this.#sampler(k), true, false);
    if (pairs === undefined) return [];
    const first = pairs[1] ?? 1;
    const likeliest: { id: number; logprob: number }[] = [];
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      likeliest.push({ id: pairs[i] as number, logprob: Math.log((pairs[i + 1] as number) / first) + bestLogprob });
    }
    return likeliest;
  }

  /** A sampler that keeps the k likeliest; 0 is greedy. */
  #sampler(k: number): AddonSampler {
    let sampler = this.#samplers.get(k);
    if (sampler === undefined) {
      sampler = this.#addon.createSampler(k === 0 ? { temperature: 0 } : { temperature: 1, topK: k, topP: 1, seed: 1 });
      this.#samplers.set(k, sampler);
    }
    return sampler;
  }
}
