// The few native objects of node-llama-cpp that the step loop drives. They are internal to that package, hence its exact
// pin; test/model/addon.contract.test.ts holds every one of them.
import type { Llama, LlamaContext, LlamaModel } from "node-llama-cpp";
import { type AddonGrammarState, type GrammarBindings, GrammarStates } from "./grammar-states.ts";
import { NativeGarbage } from "./native-garbage.ts";

/** A context's batch interface (node-llama-cpp 3.21.1, llama/addon/AddonContext.cpp). */
export interface AddonContext {
  /** Starts a batch of at most `size` tokens. */
  initBatch(size: number): void;
  /** Adds a sequence's tokens at a position; gives the batch index of each token whose logits were asked for. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(batchIndex: number, sampler: AddonSampler): Promise<number>;
  /** Also gives token and probability pairs, likeliest first, of what the sampler left; or the chosen one's probability. */
  sampleToken(
    batchIndex: number,
    sampler: AddonSampler,
    probabilities: boolean,
    confidence: boolean,
  ): Promise<[token: number, probabilities: number[] | undefined, confidence: number | undefined]>;
  disposeSequence(sequence: number): void;
  /** Forgets the cells at positions from `start` up to `end` (-1: all); false when the model can't do that. */
  removeTokenCellsFromSequence(sequence: number, start: number, end: number): boolean;
  /** Writes a sequence's cells, with these tokens as a note; gives the file's bytes. Not while a batch is decoded. */
  saveSequenceStateToFile(path: string, sequence: number, tokens: Uint32Array): Promise<number>;
  /** Puts saved cells into a sequence, in place of its own; gives the noted tokens. Not while a batch is decoded. */
  loadSequenceStateFromFile(path: string, sequence: number, contextLength: number): Promise<Uint32Array>;
}

export interface AddonSampler {
  applyConfig(config: AddonSamplerConfig): void;
  dispose(): void;
}

export interface AddonSamplerConfig {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed?: number;
  repeatPenalty?: number;
  repeatPenaltyMaxTokens?: number;
  repeatPenaltyTokens?: Uint32Array;
  repeatPenaltyPresencePenalty?: number;
  repeatPenaltyFrequencyPenalty?: number;
  tokenBiasKeys?: Uint32Array;
  tokenBiasValues?: Float32Array;
  grammarEvaluationState?: AddonGrammarState;
}

/** A model's vocabulary interface (llama/addon/AddonModel.cpp). */
export interface AddonModel {
  tokenize(text: string, specialTokens: boolean): Uint32Array;
  detokenize(tokens: Uint32Array, specialTokens: boolean): string;
  getTokenString(token: number): string;
  /** llama.cpp's LLAMA_TOKEN_ATTR_* bits. */
  getTokenAttributes(token: number): number;
  isEogToken(token: number): boolean;
}

interface Bindings extends GrammarBindings {
  AddonSampler: GrammarBindings["AddonSampler"] & (new (model: AddonModel) => AddonSampler);
}

/** The native objects behind the package's public ones. */
export interface Addon {
  readonly context: AddonContext;
  readonly model: AddonModel;
  readonly grammars: GrammarStates;
  createSampler(config: AddonSamplerConfig): AddonSampler;
}

/** A sampler holds one of these for each token of the vocabulary, and `dispose` does not free them (AddonSampler.cpp). */
const candidateBytes = 12;

/** Reaches through the public objects; throws when this is not the version that the step loop was written for. */
export function reachAddon(llama: Llama, model: LlamaModel, context: LlamaContext): Addon {
  const bindings = (llama as unknown as { _bindings?: Bindings })._bindings;
  const addonModel = (model as unknown as { _model?: AddonModel })._model;
  const addonContext = (context as unknown as { _ctx?: AddonContext })._ctx;
  if (
    !bindings?.AddonSampler ||
    !bindings.AddonGrammarEvaluationState ||
    !addonModel?.tokenize ||
    !addonContext?.decodeBatch
  ) {
    throw new Error("node-llama-cpp's native objects are not where version 3.21.1 has them; install that version");
  }
  const garbage = new NativeGarbage();
  const samplerBytes = candidateBytes * (model.fileInfo.metadata.tokenizer?.ggml?.tokens?.length ?? 0);
  return {
    context: addonContext,
    model: addonModel,
    grammars: new GrammarStates(bindings, addonModel),
    createSampler: (config) => {
      garbage.add(samplerBytes);
      const sampler = new bindings.AddonSampler(addonModel);
      sampler.applyConfig(config);
      return sampler;
    },
  };
}
