// The runtime in front of an existing engine: one that speaks the OpenAI API over HTTP, behind the seam.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EmbedRequest, EmbedResponse } from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import type { Thinking } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { type Model, ModelSchema, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import type { Prompt } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { Code, NodeError } from "../node-error.ts";
import type { RequestFeature } from "../request-features.ts";
import type { Runtime, RuntimeEvent, RuntimeRequest } from "../runtime.ts";
import { requireTextRoom, requireTokenRoom } from "../text-room.ts";
import type { OpenAiConfig } from "./openai/config.ts";
import { askEngine, discover, type FoundEngine, type FoundModel } from "./openai/discover.ts";
import { embed } from "./openai/embeddings.ts";
import { upstreamError } from "./openai/errors.ts";
import { firstContact } from "./openai/first-contact.ts";
import { type Flavor, featuresOf } from "./openai/flavor.ts";
import { type GenerationDeps, runGeneration } from "./openai/generation.ts";
import { Health } from "./openai/health.ts";
import { UpstreamClient } from "./openai/http.ts";
import type { JsonObject } from "./openai/json.ts";
import { Pace, watchLoad } from "./openai/load.ts";
import { longestTokenBytes, preparePrompt, type UpstreamPrompt } from "./openai/prompt.ts";
import { type BodyTarget, upstreamRequest } from "./openai/request-body.ts";
import { type AskEngine, detokenize, noTokenizer, tokenize } from "./openai/tokens.ts";

export interface OpenAiRuntimeOptions {
  readonly config: OpenAiConfig;
  /** Requests at once; undefined takes the engine's own number, or its kind's usual one. */
  readonly sequences?: number | undefined;
  /** Tokens; undefined takes the engine's. */
  readonly contextLength?: number | undefined;
  /** Output limit of a request that names none; undefined leaves it to the engine. */
  readonly defaultMaxTokens?: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Makes the runtime that serves the models of the engine at the configured address. */
export function createOpenAiRuntime(options: OpenAiRuntimeOptions): Runtime {
  return new OpenAiRuntime(options);
}

const probeMs = 5_000;
const metricsBytesMax = 4 * 1024 * 1024;
const embeddingsBytesMax = 64 * 1024 * 1024;

class OpenAiRuntime implements Runtime {
  readonly kind = "openai";
  readonly acceptsLate = true;
  readonly #options: OpenAiRuntimeOptions;
  readonly #client: UpstreamClient;
  readonly #ask: AskEngine;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #createdAtMs: number;
  readonly #answerNow = new Map<string, () => boolean>();
  #engine: FoundEngine | undefined;
  #features: ReadonlySet<RequestFeature> = new Set();
  #health: Health | undefined;
  #pace = new Pace(1);
  #running = 0;

  constructor(options: OpenAiRuntimeOptions) {
    this.#options = options;
    this.#createdAtMs = options.clock.now();
    const { address, key, timeouts } = options.config;
    this.#client = new UpstreamClient({ address, key, connectTimeoutMs: timeouts.connectMs });
    const ask = askEngine({ client: this.#client, config: options.config });
    this.#ask = (path, what) =>
      ask(path, what).catch((thrown: unknown) => {
        if (thrown instanceof NodeError && thrown.code === Code.UNAVAILABLE) this.#health?.suspect();
        throw thrown;
      });
  }

  get features(): ReadonlySet<RequestFeature> {
    return this.#features;
  }

  async start(): Promise<void> {
    const { clock, log, config } = this.#options;
    const { signal } = this.#closing;
    await firstContact({ try: () => this.#discover(signal), patienceMs: config.timeouts.startMs, clock, log }, signal);
    if (signal.aborted) return;
    this.#health = new Health({
      probe: (probeSignal) => this.#probe(probeSignal),
      rediscover: (probeSignal) => this.#discover(probeSignal),
      onChange: () => this.#changed(),
      intervalMs: config.probeIntervalMs,
      clock,
      log,
    });
    void this.#health.run();
    this.#watchLoad();
    this.#changed();
  }

  models(): readonly Model[] {
    const { defaultMaxTokens } = this.#options;
    const state = this.#health?.up ? ModelState.READY : ModelState.UNAVAILABLE;
    return (this.#engine?.models ?? []).map((model) =>
      create(ModelSchema, {
        id: model.id,
        state: this.#health === undefined ? ModelState.LOADING : state,
        contextLength: model.contextLength,
        defaultMaxTokens: Math.min(defaultMaxTokens ?? model.contextLength, model.contextLength),
        capabilities: [...model.capabilities],
        quantization: model.quantization,
        ownedBy: model.ownedBy,
        createdAt: timestampFromMs(this.#createdAtMs),
        runtime: this.kind,
        sequences: this.#pace.limit,
        embeddingDimensions: model.embeddingDimensions,
      }),
    );
  }

  onStateChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  check({ request }: RuntimeRequest): void {
    // Made again when it runs; here for what it refuses.
    upstreamRequest(request, this.#target(this.#model(request.model)), { limit: undefined });
  }

  prepare(id: string, prompt: Prompt, signal: AbortSignal, thinking?: Thinking): Promise<UpstreamPrompt> {
    return preparePrompt(this.#ask, this.#flavor(), this.#model(id), { prompt, thinking }, signal);
  }

  async *generate(runtimeRequest: RuntimeRequest, signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const { request, prepared, maxTokens } = runtimeRequest;
    const model = this.#model(request.model);
    const named = request.stopping?.maxTokens !== undefined || this.#options.defaultMaxTokens !== undefined;
    const limit = named ? maxTokens : undefined;
    const { tokens } = prepared as UpstreamPrompt;
    const upstream = upstreamRequest(request, this.#target(model), { limit, tokens });
    this.#running += 1;
    try {
      yield* runGeneration(this.#generationDeps(), { ...runtimeRequest, upstream, model }, signal);
    } finally {
      this.#running -= 1;
    }
  }

  answerNow(requestId: string): boolean {
    return this.#answerNow.get(requestId)?.() ?? false;
  }

  async tokenize(id: string, text: string, specialTokens: boolean, signal?: AbortSignal): Promise<Uint32Array> {
    const { counts, contextLength, upstreamId } = this.#model(id);
    if (!counts) throw noTokenizer();
    requireTextRoom([text], { contextLength, longestTokenBytes }, "text");
    const model = { flavor: this.#flavor(), upstreamId };
    const how = { asPrompt: false, specialTokens };
    return Uint32Array.from(await tokenize(this.#ask, model, text, how, signal ?? this.#closing.signal));
  }

  async detokenize(id: string, tokenIds: readonly number[], specialTokens: boolean): Promise<string> {
    const { counts, contextLength, upstreamId } = this.#model(id);
    if (!counts) throw noTokenizer();
    requireTokenRoom(tokenIds.length, contextLength, "token_ids");
    const model = { flavor: this.#flavor(), upstreamId };
    return detokenize(this.#ask, model, tokenIds, specialTokens, this.#closing.signal);
  }

  embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResponse> {
    const { address, timeouts } = this.#options.config;
    const ask = (body: JsonObject): ReturnType<UpstreamClient["json"]> =>
      this.#client.json(`${address.apiPath}/embeddings`, {
        body,
        signal,
        headTimeoutMs: timeouts.firstByteMs,
        bodyTimeoutMs: timeouts.idleMs,
        bytesMax: embeddingsBytesMax,
      });
    const { upstreamId } = this.#model(request.model);
    return embed(request, { upstreamId, flavor: this.#flavor().name }, ask);
  }

  async close(): Promise<void> {
    this.#closing.abort(new NodeError(Code.UNAVAILABLE, "The node is shutting down.", { retryAfterMs: 1_000 }));
    this.#health?.close();
    this.#client.close();
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const { config, contextLength, sequences, log } = this.#options;
    const engine = await discover({ client: this.#client, config, contextLength, log }, signal);
    this.#engine = engine;
    this.#features = featuresOf(engine.flavor);
    this.#pace = new Pace(sequences ?? engine.slots ?? engine.flavor.sequences);
    const models = engine.models.map(({ id }) => id);
    log({ level: "info", event: "upstream.found", url: config.address.label, flavor: engine.flavor.name, models });
  }

  /** Rejects when the engine takes no work. */
  async #probe(signal: AbortSignal): Promise<void> {
    const { address } = this.#options.config;
    const { healthPath } = this.#flavor();
    const path = healthPath === undefined ? `${address.apiPath}/models` : address.rootPath + healthPath;
    const ask = { signal, headTimeoutMs: probeMs, bodyTimeoutMs: probeMs, bytesMax: metricsBytesMax };
    const { status, headers, value } = await this.#client.json(path, ask);
    // Too many questions were asked, but they were answered.
    if (status !== 200 && status !== 429) throw upstreamError({ status, headers, value });
  }

  #watchLoad(): void {
    const { config, clock, log } = this.#options;
    const { gauges } = this.#flavor();
    if (gauges === undefined || config.metricsIntervalMs === 0) return;
    const read = async (signal: AbortSignal): Promise<string | undefined> => {
      const ask = { signal, headTimeoutMs: probeMs, bodyTimeoutMs: probeMs, bytesMax: metricsBytesMax };
      const { status, text } = await this.#client.text(`${config.address.rootPath}/metrics`, ask);
      return status === 200 ? text : undefined;
    };
    const onLoad = (load: { running: number; waiting: number }): void => {
      const before = this.#pace.limit;
      if (!this.#pace.read(load, this.#running)) return;
      if (this.#pace.limit < before) log({ level: "info", event: "upstream.queues", ...load, limit: this.#pace.limit });
      this.#changed();
    };
    void watchLoad({ read, gauges, onLoad, intervalMs: config.metricsIntervalMs, clock, log }, this.#closing.signal);
  }

  #generationDeps(): GenerationDeps {
    const { config, clock, log } = this.#options;
    return {
      client: this.#client,
      config,
      flavor: this.#flavor(),
      clock,
      log,
      closing: this.#closing.signal,
      answerNow: this.#answerNow,
      onSuspicion: () => this.#health?.suspect(),
      onRefusal: () => {
        if (this.#pace.refused(this.#running - 1)) this.#changed();
      },
    };
  }

  #target({ upstreamId, thinking, effort, contextLength }: FoundModel): BodyTarget {
    const { hostname } = this.#options.config.address;
    const newerLimitName = hostname === "api.openai.com" || hostname.endsWith(".openai.azure.com");
    return { flavor: this.#flavor(), upstreamId, contextLength, newerLimitName, thinking, effort };
  }

  #flavor(): Flavor {
    if (this.#engine === undefined) throw notReady();
    return this.#engine.flavor;
  }

  #model(id: string): FoundModel {
    const model = this.#engine?.models.find((one) => one.id === id);
    if (model === undefined) throw notReady();
    return model;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

function notReady(): NodeError {
  return new NodeError(Code.UNAVAILABLE, "The engine behind this model does not answer yet.", {
    reason: "MODEL_NOT_READY",
    retryAfterMs: 1_000,
  });
}
