// InferenceService, independent of how a call came in: both doors call these methods.
import { create } from "@bufbuild/protobuf";
import type {
  EmbedRequest,
  EmbedResponse,
  RerankRequest,
  RerankResponse,
} from "../proto/gen/sluice/inference/v1/embed_pb.js";
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
  ModelState,
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
import { requireMakes, requireSupported } from "./request-checks.ts";
import type { Runtime } from "./runtime.ts";
import { validateEmbed, validateRequestId, validateRerank } from "./validate.ts";
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
    return await this.#compute(request, Capability.EMBEDDINGS, call, (work) => this.#embed(request, call, work));
  }

  async rerank(request: RerankRequest, call: Call): Promise<RerankResponse> {
    validateRerank(request);
    return await this.#compute(request, Capability.RERANK, call, async ({ runtime, place, signal }) => {
      const tokens = estimatedRerankTokens(request);
      return await admitted(place, { tokens, signal, deadlineAt: call.deadlineAt }, async () => {
        if (runtime.rerank === undefined)
          throw new Error(`the runtime ${runtime.kind} claims a reranker that it has not`);
        return await runtime.rerank(request, signal);
      });
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
    const tokens = estimatedTokens(request);
    return await admitted(place, { tokens, signal, deadlineAt }, () => runtime.embed(request, signal));
  }

  /** Refuses a model that is not made for it, by name: one that loads may say only then what it is. */
  async #compute<T>(
    { model, tenant }: { model: string; tenant: string },
    what: Capability.EMBEDDINGS | Capability.RERANK,
    call: Call,
    work: (work: Work) => Promise<T>,
  ): Promise<T> {
    const now = this.#options.models.find(model);
    if (now.state !== ModelState.LOADING) requireMakes(now, what);
    const run = async (loaded: Work): Promise<T> => {
      requireMakes(loaded.model, what);
      return await work(loaded);
    };
    return await this.#during(model, call, run, { tenant, priority: "interactive" });
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

/** Works once the place has its slot, and gives it back. */
async function admitted<T>(
  place: Reservation,
  request: Parameters<Reservation["admit"]>[0],
  work: () => Promise<T>,
): Promise<T> {
  const permit = place.admit(request);
  try {
    await permit.granted;
    return await work();
  } finally {
    permit.release();
  }
}

/** Tokens are known only after the runtime has read the inputs: until then a text counts as a quarter of its bytes. */
function estimatedTokens({ inputs }: EmbedRequest): number {
  return inputs.reduce((sum, { input }) => {
    const tokens = input.case === "tokens" ? input.value.ids.length : Buffer.byteLength(input.value ?? "") / 4;
    return sum + Math.ceil(tokens);
  }, 0);
}

/** Likewise; the query is read with each of the documents. */
function estimatedRerankTokens({ query, documents }: RerankRequest): number {
  const queryTokens = Math.ceil(Buffer.byteLength(query) / 4);
  return documents.reduce((sum, text) => sum + queryTokens + Math.ceil(Buffer.byteLength(text) / 4), 0);
}
