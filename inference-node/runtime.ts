// The seam between the node and whatever runs the model.
import type {
  EmbedRequest,
  EmbedResponse,
  RerankRequest,
  RerankResponse,
} from "../proto/gen/sluice/inference/v1/embed_pb.js";
import type {
  Delta,
  Finished,
  GenerateRequest,
  Prefilled,
  Thinking,
} from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Model } from "../proto/gen/sluice/inference/v1/model_pb.js";
import type { Prompt } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { RequestFeature } from "./request-features.ts";

/** What a runtime tells of a generation: prefilled, then deltas, then exactly one finished. A failure is thrown. */
export type RuntimeEvent =
  | { case: "prefilled"; value: Prefilled }
  | { case: "delta"; value: Delta }
  | { case: "finished"; value: Finished };

/** A prompt that the model's template rendered and its tokenizer counted. Opaque to all but the runtime that made it. */
export interface PreparedPrompt {
  /** Tokens of the prompt, template included. */
  readonly promptTokens: number;
  /** Token ids of the request must be below this; undefined when the runtime takes none. */
  readonly vocabularySize?: number;
  /** `promptTokens` is a guess: whether prompt and output fit the context is the engine's to say. */
  readonly estimated?: boolean;
}

/** A request that passed validation, tokenising and admission. */
export interface RuntimeRequest {
  readonly request: GenerateRequest;
  readonly prepared: PreparedPrompt;
  /** Most tokens to generate: the request's, else the model's default, cut to what the context has room for. */
  readonly maxTokens: number;
  /** Called by a runtime with `acceptsLate` once the request won't be refused any more; more calls do nothing. */
  readonly onAccepted?: () => void;
}

/** What one step of an engine was. */
export interface StepFacts {
  /** Tokens of sequences that decode, guessed ones among them. */
  readonly decoding: number;
  /** Tokens of prompts that were prefilled. */
  readonly promptTokens: number;
  /** How long the step decoded. */
  readonly ms: number;
}

/** What a model's engine says of itself now. */
export interface EngineFigures {
  /** Tokens in the contexts of the sequences that run, and the most there can be. */
  readonly kvTokens: number;
  readonly kvTokensMax: number;
  /** Undefined while the engine is down. */
  readonly residentBytes: number | undefined;
  /** Requests that are refused since the engine died of them. */
  readonly quarantined: number;
}

/**
 * Runs models. Every method rejects with a NodeError: UNAVAILABLE (retryable) when the engine is down,
 * INVALID_ARGUMENT for input that the engine can't take, UNIMPLEMENTED for what it does not do.
 */
export interface Runtime {
  /** "llama", "scripted" or "openai". */
  readonly kind: string;
  /** Loads the models; resolves when they answer. Rejects with a sentence for the operator. */
  start(): Promise<void>;
  /** The models and the state that each is in now. */
  models(): readonly Model[];
  /** The optional features that this runtime honours; requests that ask for others are refused before `prepare`. */
  readonly features: ReadonlySet<RequestFeature>;
  /**
   * Whether the engine itself may refuse a request that runs. Admitted then waits for `onAccepted`, which comes within some
   * seconds, so that the refusal still has its own status.
   */
  readonly acceptsLate?: boolean;
  /** Of several runtimes in one, the one that serves the model; absent where there is only one. */
  of?(model: string): Runtime;
  /** Calls back after any model's state or `sequences` changed; returns the way to stop listening. */
  onStateChange(listener: () => void): () => void;
  /** Renders and tokenises a prompt; how the model is to think may be part of what its template renders. */
  prepare(model: string, prompt: Prompt, signal: AbortSignal, thinking?: Thinking): Promise<PreparedPrompt>;
  /** Throws when this request must not run, before it is admitted; left out by runtimes that run whatever they can. */
  check?(request: RuntimeRequest): void;
  /**
   * Generates. Called when the request holds one of the model's `sequences` slots; an abort of `signal` ends the
   * generation within one step, and the iterator then throws CANCELLED or returns. The runtime fills `timings` of
   * Finished but for `queue`.
   */
  generate(request: RuntimeRequest, signal: AbortSignal): AsyncIterable<RuntimeEvent>;
  /** For the metrics; a runtime whose engine is not its own has neither. */
  figures?(model: string): EngineFigures | undefined;
  onStep?(listener: (model: string, step: StepFacts) => void): void;
  /** Closes a running generation's reasoning so that it answers now; false when there is nothing to close. */
  answerNow(requestId: string): boolean;
  /** Rejects with OUT_OF_RANGE, before any work, for a text that no sequence of the model could hold. */
  tokenize(model: string, text: string, specialTokens: boolean, signal?: AbortSignal): Promise<Uint32Array>;
  /** Rejects with OUT_OF_RANGE for more tokens than one sequence holds. */
  detokenize(model: string, tokenIds: readonly number[], specialTokens: boolean): Promise<string>;
  embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResponse>;
  /** Scores documents, best first; left out by runtimes that have no model for it. */
  rerank?(request: RerankRequest, signal: AbortSignal): Promise<RerankResponse>;
  /** Ends the engine; running generations fail with UNAVAILABLE. */
  close(): Promise<void>;
}
