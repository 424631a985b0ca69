// What the node and its native child say to each other over IPC; plain data only.
import type { ChatTemplateSource } from "../../chat-template.ts";
import type { EmbeddingLoadOptions, ToEmbeddingChild } from "./embedding-protocol.ts";

/** Where the model computes and how it keeps its keys and values. */
export interface DeviceOptions {
  /** `auto` takes a GPU for which a build of the engine is installed and found usable, else the CPU. */
  readonly gpu: "auto" | "cuda" | "vulkan" | "metal" | "cpu";
  /** Layers on the GPU; undefined puts there as many as fit. */
  readonly gpuLayers: number | undefined;
  readonly flashAttention: "auto" | "on" | "off";
  readonly kvType: "f16" | "q8_0" | "q4_0";
  /** Folder where the driver keeps the kernels that it compiled; made if it is not there. */
  readonly kernelCache: string | undefined;
}

/** How to load a model. */
export interface LoadOptions {
  readonly modelPath: string;
  readonly threads: number | undefined;
  readonly sequences: number | undefined;
  readonly contextLength: number | undefined;
  readonly batchTokens: number | undefined;
  readonly kvMemoryMb: number | undefined;
  /** Models among which the memory that is meant for keys and values is divided; 1 when left out. */
  readonly memoryShares?: number | undefined;
  /** In place of the file's own chat template. */
  readonly chatTemplate: string | undefined;
  readonly device: DeviceOptions;
  readonly prefixCache: PrefixCacheOptions;
}

/** Where and how much of prompts that were computed is kept beside the sequences. */
export interface PrefixCacheOptions {
  /** Folder of the node's own. */
  readonly dir: string;
  /** 0 keeps nothing for longer than a copy takes. */
  readonly bytesMax: number;
  /** Where goes what there is no more room for; undefined drops it. */
  readonly spill: { readonly dir: string; readonly bytesMax: number } | undefined;
}

/** What the child found out about the model that it loaded. */
export interface LoadedModel {
  readonly contextLength: number;
  readonly sequences: number;
  readonly threads: number;
  readonly batchTokens: number;
  readonly kvMemoryMb: number;
  readonly vocabularySize: number;
  /** No text has fewer tokens than its bytes by this. */
  readonly longestTokenBytes: number;
  /** Undefined for a model that takes no chats. */
  readonly chatTemplate: ChatTemplateSource | undefined;
  readonly hasFillInMiddle: boolean;
  /** SPDX id in the file's metadata, or empty. */
  readonly license: string;
  readonly organization: string;
  readonly quantization: string;
  /** Names engine and kernels. */
  readonly engine: string;
  readonly gpu: "cuda" | "vulkan" | "metal" | "cpu";
  /** Names of the cards; none on the CPU. */
  readonly gpuDevices: readonly string[];
  /** Layers on the GPU, of so many. */
  readonly gpuLayers: number;
  readonly layers: number;
  /** Length of an embedding; absent for a model that makes none. */
  readonly embeddingDimensions?: number;
  /** Whether the model scores documents. */
  readonly reranks?: boolean;
}

/** What one step was, for the node's metrics. */
export interface StepSummary {
  /** Tokens of sequences that decode, guessed ones among them. */
  readonly decoding: number;
  /** Tokens of prompts that were prefilled. */
  readonly promptTokens: number;
  /** How long the batch took to decode. */
  readonly ms: number;
  /** Tokens in the sequences' contexts after the step, of those that run. */
  readonly kvTokens: number;
}

export interface GenerateOptions {
  readonly requestId: string;
  readonly tokens: Uint32Array;
  readonly maxTokens: number;
  /** Whether maxTokens is what the context had room for rather than what was asked. */
  readonly limitedByContext: boolean;
  readonly sampling: SamplingOptions;
  /** Texts of control tokens that are given out; those of all others are not. */
  readonly visibleTokens: readonly string[];
  readonly stopStrings: readonly string[];
  readonly stopTokenIds: readonly number[];
  readonly logprobs: { readonly top: number } | undefined;
  readonly promptLogprobs: { readonly top: number } | undefined;
  /** Prompts of one salt share their beginnings; undefined neither reads nor leaves any. */
  readonly prefixSalt: string | undefined;
  /** Most tokens that are guessed ahead from what was said before; 0 guesses none. */
  readonly guessTokensMax: number;
  /** Decoded in batches of its own, so that nobody else changes how it is rounded. */
  readonly deterministic: boolean;
  readonly grammar?: GrammarOptions | undefined;
}

/** What the output is held to. A grammar is GBNF text whose root rule is `root`. */
export interface GrammarOptions {
  readonly gbnf: string;
  /** The grammar begins once this text was generated, such as the end of a thought; until then the text is free. */
  readonly after?: string | undefined;
  /** Whether the generation may end before `after` came. It may not otherwise. */
  readonly mayEndBefore?: boolean | undefined;
  /**
   * Whether to wait for `after` at all: the output is held to this grammar, which allows `text` alone and what `gbnf` allows,
   * and waits when it began with `text`.
   */
  readonly opening?: { readonly text: string; readonly gbnf: string } | undefined;
}

export interface SamplingOptions {
  readonly temperature: number;
  readonly topP: number;
  /** 0 means all. */
  readonly topK: number;
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly repetitionPenalty: number;
  /** 32 bits; always given, so that two requests in one second differ unless asked not to. */
  readonly seed: number;
  readonly logitBias: readonly { readonly tokenId: number; readonly bias: number }[];
  readonly ignoreEos: boolean;
  /** No token that ends the generation before so many. */
  readonly minTokens: number;
}

export interface TokenScore {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly bytes: Uint8Array; readonly logprob: number }[];
}

export type FinishReasonName = "stop" | "stop_sequence" | "length" | "context_length";

/** One event of one generation; `key` is the node's number for it. */
export type GenerationEvent =
  | { type: "prefilled"; key: number; promptTokens: number; cachedTokens: number; scores: readonly TokenScore[] }
  | { type: "delta"; key: number; text: string; completionTokens: number; scores: readonly TokenScore[] }
  | {
      type: "finished";
      key: number;
      reason: FinishReasonName;
      stop: string;
      completionTokens: number;
      cachedTokens: number;
      /** Guesses that were checked, and those of them that came true. */
      guessedTokens: number;
      guessedRight: number;
      prefillMs: number;
      decodeMs: number;
    }
  /** The slot is free after a cancellation, so many steps after it was heard. */
  | { type: "cancelled"; key: number; steps: number; completionTokens: number }
  /** `code` is a gRPC status; INTERNAL when absent. `param` is the request's field that is to blame, in the contract's words. */
  | { type: "failed"; key: number; message: string; code?: number; param?: string };

export type ToChild =
  | { type: "load"; options: LoadOptions | EmbeddingLoadOptions }
  | ToEmbeddingChild
  /** The prompt is the contract's message, encoded; of a chat only the segments count, as it was rendered. */
  | { type: "prepare"; call: number; prompt: Uint8Array; segments: readonly string[] | undefined }
  | { type: "tokenize"; call: number; text: string; specialTokens: boolean }
  | { type: "detokenize"; call: number; tokens: Uint32Array; specialTokens: boolean }
  /** Nobody waits for the answer any more. */
  | { type: "cancel_call"; call: number }
  | { type: "generate"; key: number; options: GenerateOptions }
  | { type: "cancel"; key: number }
  /** Goes on with this text, special tokens read as such, as if the model had written it; nothing when it has ended. */
  | { type: "force"; key: number; text: string };

/** A NodeError on its way through IPC. */
export interface ErrorMessage {
  readonly code: number;
  readonly message: string;
  readonly param: string | undefined;
  readonly reason: string;
  readonly metadata: Record<string, string>;
}

export type ToNode =
  | { type: "loaded"; model: LoadedModel; residentBytes?: number }
  | { type: "load_failed"; message: string }
  | { type: "reply"; call: number; value: Uint32Array | Float32Array | string }
  | { type: "reply_error"; call: number; error: ErrorMessage }
  /** Everything that one step brought, sent after each step: none says only that the engine is alive. */
  | { type: "events"; events: readonly GenerationEvent[]; step?: StepSummary | undefined }
  /** Sent once a second. */
  | { type: "memory"; residentBytes: number };
