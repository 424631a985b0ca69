// InferenceService, independent of how a call came in: both doors call these methods.
import { create } from "@bufbuild/protobuf";
import type { EmbedRequest, EmbedResponse, RerankRequest } from "../proto/gen/sluice/inference/v1/embed_pb.js";
import {
  ControlAction,
  type ControlRequest,
  type ControlResponse,
  ControlResponseSchema,
  type GenerateRequest,
  GenerateRequestSchema,
} from "../proto/gen/sluice/inference/v1/generate_pb.js";
import {
  type JournalRequest,
  type JournalResponse,
  JournalResponseSchema,
} from "../proto/gen/sluice/inference/v1/journal_pb.js";
import {
  Capability,
  type ListModelsResponse,
  ListModelsResponseSchema,
  type Model,
} from "../proto/gen/sluice/inference/v1/model_pb.js";
import {
  type CountTokensRequest,
  type CountTokensResponse,
  CountTokensResponseSchema,
  type DetokenizeRequest,
  type DetokenizeResponse,
  DetokenizeResponseSchema,
  type TokenizeRequest,
  type TokenizeResponse,
  TokenizeResponseSchema,
} from "../proto/gen/sluice/inference/v1/tokenize_pb.js";
import type { Reservation } from "./admission.ts";
import { abortError, type Call, unlessAborted, type WriteEvent } from "./call.ts";
import { cancelledByControl, type GenerateDeps, generate } from "./generate.ts";
import { Code, invalid, NodeError } from "./node-error.ts";
import type { Requester } from "./queue-bounds.ts";
import { requireCapability, requireSupported } from "./request-checks.ts";
import type { Runtime } from "./runtime.ts";
import { validateEmbed, validateRequestId } from "./validate.ts";
import { validatePrompt } from "./validate-prompt.ts";

export interface ServiceOptions extends GenerateDeps {
  /** Stable name of the node. */
  nodeId: string;
  /** Differs after each start. */
  bootId: string;
}

/** Most ids of one JournalRequest, as the contract has it. */
const journalIdsMax = 1_000;

/** Callers take messages of up to 16 MiB; some of it is not numbers. */
const answerBytesMax = 15 * 1024 * 1024;

/** What a call works with. */
interface Work {
  /** As it is now, and ready. */
  readonly model: Model;
  /** The one that serves it. */
  readonly runtime: Runtime;
  readonly place: Reservation;
  readonly signal: AbortSignal;
}

/** The methods of the contract that this node implements. All reject with NodeErrors. */
export class Service {
  readonly #options: ServiceOptions;
  readonly #ending = new AbortController();

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  /** Streams a generation's events to `write`. */
  generate(request: GenerateRequest, call: Call, write: WriteEvent): Promise<void> {
    return generate(this.#options, request, call, write);
  }

  control({ requestId, action }: ControlRequest): ControlResponse {
    validateRequestId(requestId);
    if (action !== ControlAction.CANCEL && action !== ControlAction.ANSWER_NOW) {
      invalid("action", "is not a known action.");
    }
    const running = this.#options.journal.find(requestId);
    let applied = running !== undefined;
    if (action === ControlAction.CANCEL) running?.abort(cancelledByControl);
    else applied = applied && this.#options.runtime.answerNow(requestId);
    return create(ControlResponseSchema, { applied });
  }

  journal({ requestIds }: JournalRequest): JournalResponse {
    if (requestIds.length > journalIdsMax) invalid("request_ids", `must be at most ${journalIdsMax}.`);
    const { journal, bootId } = this.#options;
    return create(JournalResponseSchema, { entries: journal.entries(requestIds), bootId });
  }

  listModels(): ListModelsResponse {
    const { models, nodeId, bootId } = this.#options;
    return create(ListModelsResponseSchema, { models: [...models.list()], nodeId, bootId });
  }

  async embed(request: EmbedRequest, call: Call): Promise<EmbedResponse> {
    validateEmbed(request);
    requireCapability(this.#options.models.find(request.model), Capability.EMBEDDINGS, "model");
    return await this.#during(request.model, call, (work) => this.#embed(request, call, work), {
      tenant: request.tenant,
      priority: "interactive",
    });
  }

  /** No runtime scores documents yet: the model is refused by name. */
  rerank({ requestId, model }: RerankRequest): never {
    validateRequestId(requestId);
    requireCapability(this.#options.models.find(model), Capability.RERANK, "model");
    throw new NodeError(Code.UNIMPLEMENTED, `The model "${model}" can't be asked for relevance scores.`, {
      param: "model",
      reason: "UNSUPPORTED",
    });
  }

  async tokenize({ model, text, specialTokens }: TokenizeRequest, call: Call): Promise<TokenizeResponse> {
    const tokenIds = await this.#during(model, call, ({ runtime, signal }) =>
      runtime.tokenize(model, text, specialTokens, signal),
    );
    return create(TokenizeResponseSchema, { tokenIds: [...tokenIds] });
  }

  async detokenize({ model, tokenIds, specialTokens }: DetokenizeRequest, call: Call): Promise<DetokenizeResponse> {
    const text = await this.#during(model, call, ({ runtime }) => runtime.detokenize(model, tokenIds, specialTokens));
    return create(DetokenizeResponseSchema, { text });
  }

  /** As many as a generation of this prompt would be billed for; what a generation would refuse is refused here too. */
  async countTokens({ model, prompt }: CountTokensRequest, call: Call): Promise<CountTokensResponse> {
    validatePrompt(prompt);
    const { promptTokens, estimated } = await this.#during(model, call, (work) => {
      requireSupported(create(GenerateRequestSchema, { prompt }), work.model, work.runtime.features);
      return work.runtime.prepare(model, prompt, work.signal);
    });
    if (estimated) {
      throw new NodeError(Code.UNIMPLEMENTED, "The engine behind this model does not count tokens.", {
        param: "model",
      });
    }
    return create(CountTokensResponseSchema, { promptTokens });
  }

  /** Ends all calls that are no generations. */
  abortAll(reason: NodeError): void {
    this.#ending.abort(reason);
  }

  async #embed(
    request: EmbedRequest,
    { deadlineAt }: Call,
    { model, runtime, place, signal }: Work,
  ): Promise<EmbedResponse> {
    if (request.dimensions > model.embeddingDimensions) {
      invalid("dimensions", `must be at most ${model.embeddingDimensions}.`);
    }
    const inputsMax = Math.floor(answerBytesMax / (4 * (request.dimensions || model.embeddingDimensions)));
    if (request.inputs.length > inputsMax)
      invalid("inputs", `must be at most ${inputsMax} for vectors of this length.`);
    const permit = place.admit({ tokens: estimatedTokens(request), signal, deadlineAt });
    try {
      await permit.granted;
      return await runtime.embed(request, signal);
    } finally {
      permit.release();
    }
  }

  /** Runs work that holds a place in the model's bounded queue and ends with the call. A model that is on its way is awaited. */
  async #during<T>(id: string, call: Call, work: (work: Work) => Promise<T>, who?: Requester): Promise<T> {
    const { models, clock } = this.#options;
    await models.restarted(models.find(id), call.signal);
    const model = models.find(id);
    const runtime = this.#options.runtime.of?.(id) ?? this.#options.runtime;
    const place = models.admission(model).reserve(who);
    const signal = AbortSignal.any([call.signal, this.#ending.signal]);
    try {
      signal.throwIfAborted();
      return await unlessAborted(work({ model, runtime, place, signal }), signal);
    } catch (thrown) {
      throw call.signal.aborted ? abortError(call, clock) : NodeError.from(thrown);
    } finally {
      place.leave();
    }
  }
}

/** Tokens are known only after the runtime has read the inputs: until then a text counts as a quarter of its bytes. */
function estimatedTokens({ inputs }: EmbedRequest): number {
  return inputs.reduce((sum, { input }) => {
    const tokens = input.case === "tokens" ? input.value.ids.length : Buffer.byteLength(input.value ?? "") / 4;
    return sum + Math.ceil(tokens);
  }, 0);
}
