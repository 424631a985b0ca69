// InferenceService, independent of how a call came in: both doors call these methods.
import { create } from "@bufbuild/protobuf";
import type { EmbedRequest, EmbedResponse } from "../proto/gen/sluice/inference/v1/embed_pb.js";
import {
  ControlAction,
  type ControlRequest,
  type ControlResponse,
  ControlResponseSchema,
  type GenerateRequest,
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
import { requireCapability } from "./request-checks.ts";
import type { PreparedPrompt } from "./runtime.ts";
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

/** The methods of the contract that this node implements. All reject with NodeErrors. */
export class Service {
  readonly #options: ServiceOptions;

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
    const { models, runtime } = this.#options;
    validateEmbed(request);
    const model = models.find(request.model);
    requireCapability(model, Capability.EMBEDDINGS, "model");
    if (request.dimensions > model.embeddingDimensions) {
      invalid("dimensions", `must be at most ${model.embeddingDimensions}.`);
    }
    const { tenant } = request;
    const work = async (signal: AbortSignal, place: Reservation): Promise<EmbedResponse> => {
      // Tokens are known only after the runtime has read the inputs; the queue's depth bounds them here.
      const permit = place.admit({ tokens: 0, signal, deadlineAt: call.deadlineAt });
      try {
        await permit.granted;
        return await runtime.embed(request, signal);
      } finally {
        permit.release();
      }
    };
    return await this.#during(model, call, work, { tenant, priority: "interactive" });
  }

  async tokenize({ model, text, specialTokens }: TokenizeRequest, call: Call): Promise<TokenizeResponse> {
    const { models, runtime } = this.#options;
    const work = (signal: AbortSignal): Promise<Uint32Array> => runtime.tokenize(model, text, specialTokens, signal);
    const tokenIds = await this.#during(models.find(model), call, work);
    return create(TokenizeResponseSchema, { tokenIds: [...tokenIds] });
  }

  async detokenize({ model, tokenIds, specialTokens }: DetokenizeRequest, call: Call): Promise<DetokenizeResponse> {
    const { models, runtime } = this.#options;
    const text = await this.#during(models.find(model), call, () => runtime.detokenize(model, tokenIds, specialTokens));
    return create(DetokenizeResponseSchema, { text });
  }

  async countTokens({ model, prompt }: CountTokensRequest, call: Call): Promise<CountTokensResponse> {
    const { models, runtime } = this.#options;
    validatePrompt(prompt);
    const prepare = (signal: AbortSignal): Promise<PreparedPrompt> => runtime.prepare(model, prompt, signal);
    const { promptTokens, estimated } = await this.#during(models.find(model), call, prepare);
    if (estimated) {
      throw new NodeError(Code.UNIMPLEMENTED, "The engine behind this model does not count tokens.", { param: "model" });
    }
    return create(CountTokensResponseSchema, { promptTokens });
  }

  /** Runs work that holds a place in the model's bounded queue and ends with the call. */
  async #during<T>(
    model: Model,
    call: Call,
    work: (signal: AbortSignal, place: Reservation) => Promise<T>,
    who?: Requester,
  ): Promise<T> {
    const place = this.#options.models.admission(model).reserve(who);
    try {
      call.signal.throwIfAborted();
      return await unlessAborted(work(call.signal, place), call.signal);
    } catch (thrown) {
      throw call.signal.aborted ? abortError(call, this.#options.clock) : NodeError.from(thrown);
    } finally {
      place.leave();
    }
  }
}
