// The native runtime: llama.cpp in a supervised child process, behind the seam.
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EmbedResponse } from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { DeltaSchema, type GenerateRequest, type Thinking } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability, type Model, ModelSchema, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { type Prompt, PromptSchema } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { Clock } from "../clock.ts";
import type { LogEntry } from "../log.ts";
import { Code, NodeError } from "../node-error.ts";
import type { RequestFeature } from "../request-features.ts";
import type { EngineFigures, PreparedPrompt, Runtime, RuntimeEvent, RuntimeRequest, StepFacts } from "../runtime.ts";
import { requireTextRoom, requireTokenRoom } from "../text-room.ts";
import type { RenderedChat } from "../tool-formats/chat-format.ts";
import { Chats } from "./llama/chats.ts";
import { mergeChoices } from "./llama/choices.ts";
import { anyDevice } from "./llama/config.ts";
import { CrashReports } from "./llama/crash-report.ts";
import { EventQueue } from "./llama/event-queue.ts";
import { requirePromptRoom } from "./llama/prompt-room.ts";
import type { DeviceOptions, GenerateOptions, LoadedModel, SamplingOptions, StepSummary } from "./llama/protocol.ts";
import { Quarantine, requestKey } from "./llama/quarantine.ts";
import { runtimeEvent } from "./llama/runtime-events.ts";
import { removeStaleStateFolders, removeStateFolder, stateFolder } from "./llama/state-folder.ts";
import { type ChildState, Supervisor } from "./llama/supervisor.ts";

/** What tokens are drawn with when the request does not say. */
export interface SamplingDefaults {
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
}

export interface LlamaRuntimeOptions {
  readonly modelPath: string;
  readonly modelId: string;
  readonly threads?: number | undefined;
  readonly sequences?: number | undefined;
  readonly contextLength?: number | undefined;
  readonly batchTokens?: number | undefined;
  readonly kvMemoryMb?: number | undefined;
  /** Models that share the memory which is meant for keys and values; 1 when left out. */
  readonly memoryShares?: number | undefined;
  /** Any device when left out. */
  readonly device?: DeviceOptions | undefined;
  readonly defaultMaxTokens?: number | undefined;
  readonly quantization?: string | undefined;
  readonly license?: string | undefined;
  readonly ownedBy?: string | undefined;
  /** In place of the file's own chat template. */
  readonly chatTemplate?: string | undefined;
  readonly samplingDefaults?: SamplingDefaults | undefined;
  /** Most MB of saved prompts; 0 saves none, undefined 256. */
  readonly prefixCacheMb?: number | undefined;
  readonly prefixSpill?: { readonly dir: string; readonly mb: number } | undefined;
  /** Most tokens that are guessed ahead from what was said before; undefined guesses none. */
  readonly guessTokensMax?: number | undefined;
  /** The child's environment; must hold no secret. */
  readonly childEnv?: Readonly<Record<string, string>> | undefined;
  /** Resident MB above which the child is replaced; undefined sets no ceiling. */
  readonly childMemoryMaxMb?: number | undefined;
  /** Where reports on children that died go; undefined writes none. */
  readonly crashDir?: string | undefined;
  /** How long the engine may finish no step, or answer nothing, while it has work. */
  readonly stepTimeoutMs: number;
  /** How long the engine may take to load the model. */
  readonly loadTimeoutMs: number;
  readonly log: (entry: LogEntry) => void;
  readonly clock: Clock;
}

/** How long a request whose turn came while the engine restarts waits for it. */
const readyWaitMs = 15_000;

/** Output limit of a request that names none, in tokens. */
const defaultMaxTokens = 1024;

/** Runs one GGUF model. */
export function createLlamaRuntime(options: LlamaRuntimeOptions): Runtime {
  return new LlamaRuntime(options);
}

interface LlamaPrompt extends PreparedPrompt {
  readonly tokens: Uint32Array;
  /** Undefined unless the prompt is a chat. */
  readonly chat: RenderedChat | undefined;
}

class LlamaRuntime implements Runtime {
  readonly kind = "llama";
  readonly features: ReadonlySet<RequestFeature> = new Set<RequestFeature>([
    "sampling.logit_bias",
    "stopping.stop_token_ids",
    "stopping.ignore_eos",
    "stopping.min_tokens",
    "logprobs.prompt",
    "choice_count",
    "best_of",
    "deterministic",
    "thinking.budget_tokens",
    "echo",
    "prompt.text",
    "prompt.tokens",
    "prompt.chat.continue_final_message",
  ]);
  readonly #options: LlamaRuntimeOptions;
  readonly #supervisor: Supervisor;
  readonly #quarantine: Quarantine;
  readonly #chats: Chats;
  /** Prompts that the child renders and tokenises, the oldest first. */
  readonly #preparing = new Set<Uint8Array>();
  readonly #queues = new Map<number, EventQueue>();
  readonly #listeners = new Set<() => void>();
  readonly #createdAtMs: number;
  readonly #stateFolder: string;
  readonly #spillFolder: string | undefined;
  #state: ChildState = "loading";
  #loaded: LoadedModel | undefined;
  #nextKey = 1;
  readonly #stepListeners = new Set<(model: string, step: StepFacts) => void>();
  #kvTokens = 0;

  constructor(options: LlamaRuntimeOptions) {
    this.#options = options;
    this.#createdAtMs = options.clock.now();
    const { modelPath, threads, sequences, contextLength, batchTokens, kvMemoryMb, chatTemplate } = options;
    const device = options.device ?? anyDevice;
    const prefixBytes = (options.prefixCacheMb ?? 256) * 1e6;
    this.#stateFolder = stateFolder(prefixBytes);
    const { prefixSpill } = options;
    const spill = prefixSpill && {
      dir: join(prefixSpill.dir, basename(this.#stateFolder)),
      bytesMax: prefixSpill.mb * 1e6,
    };
    this.#spillFolder = spill?.dir;
    const prefixCache = { dir: this.#stateFolder, bytesMax: prefixBytes, spill };
    const { clock, log, stepTimeoutMs, loadTimeoutMs, modelId, childMemoryMaxMb } = options;
    this.#quarantine = new Quarantine(clock);
    this.#chats = new Chats({ log, clock, force: (key, text) => this.#supervisor.tell({ type: "force", key, text }) });
    this.#supervisor = new Supervisor({
      load: {
        modelPath,
        threads,
        sequences,
        contextLength,
        batchTokens,
        kvMemoryMb,
        memoryShares: options.memoryShares,
        chatTemplate,
        device,
        prefixCache,
      },
      clock,
      log,
      stepTimeoutMs,
      loadTimeoutMs,
      modelId,
      memoryBytesMax: childMemoryMaxMb === undefined ? undefined : childMemoryMaxMb * 1e6,
      reports: new CrashReports({ folder: options.crashDir, now: () => clock.now(), log }),
      // Sampling runs on the thread pool, a sequence a task: its default of 4 threads would hold back a large machine.
      childEnv: { ...options.childEnv, UV_THREADPOOL_SIZE: String(Math.max(4, availableParallelism())) },
      onState: (state, model) => this.#changeState(state, model),
      onEvents: (events, step) => {
        for (const event of events) this.#queues.get(event.key)?.push(event);
        if (step !== undefined) this.#stepped(step);
      },
      onDeath: (error, running) => {
        this.#removeStates();
        if (running !== undefined) this.#quarantine.convictAll(running, [...this.#preparing][0]);
        for (const queue of this.#queues.values()) queue.fail(error);
      },
    });
  }

  start(): Promise<void> {
    const { prefixSpill } = this.#options;
    removeStaleStateFolders();
    if (prefixSpill !== undefined) removeStaleStateFolders([prefixSpill.dir]);
    return this.#supervisor.start();
  }

  models(): readonly Model[] {
    const loaded = this.#loaded;
    const states = {
      loading: ModelState.LOADING,
      ready: ModelState.READY,
      draining: ModelState.UNAVAILABLE,
      down: ModelState.UNAVAILABLE,
    } as const;
    const contextLength = loaded?.contextLength ?? 0;
    return [
      create(ModelSchema, {
        id: this.#options.modelId,
        state: states[this.#state],
        contextLength,
        defaultMaxTokens: Math.min(this.#options.defaultMaxTokens ?? defaultMaxTokens, contextLength),
        capabilities: [
          Capability.LOGPROBS,
          Capability.STRUCTURED_OUTPUT,
          ...this.#chats.capabilities,
          ...(loaded?.hasFillInMiddle ? [Capability.FILL_IN_MIDDLE] : []),
        ],
        quantization: this.#options.quantization ?? loaded?.quantization ?? "",
        license: this.#options.license ?? loaded?.license ?? "",
        ownedBy: this.#options.ownedBy ?? loaded?.organization ?? "",
        createdAt: timestampFromMs(this.#createdAtMs),
        runtime: this.kind,
        sequences: loaded?.sequences ?? 0,
      }),
    ];
  }

  onStateChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async prepare(_model: string, prompt: Prompt, signal: AbortSignal, thinking?: Thinking): Promise<LlamaPrompt> {
    if (this.#loaded !== undefined) requirePromptRoom(prompt, this.#loaded);
    // Before the engine is up for the first time there is no template: the call below says so.
    const chat = this.#loaded === undefined ? undefined : this.#chats.render(prompt, thinking);
    const bytes = toBinary(PromptSchema, prompt);
    this.#quarantine.checkPrompt(bytes);
    this.#preparing.add(bytes);
    const answer = this.#supervisor
      .call((call) => ({ type: "prepare", call, prompt: bytes, segments: chat?.segments }), signal)
      .finally(() => this.#preparing.delete(bytes));
    const tokens = (await answer) as Uint32Array;
    return { promptTokens: tokens.length, vocabularySize: this.#loaded?.vocabularySize ?? 0, tokens, chat };
  }

  check(request: RuntimeRequest): void {
    // A constraint that can't be held is refused here.
    const options = this.#generateOptions(request);
    if (!this.#quarantine.empty) this.#quarantine.check(requestKey(options));
  }

  generate(request: RuntimeRequest, signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const events = this.#generate(request, signal);
    if (this.#quarantine.empty) return events;
    const ready = (): Promise<void> => this.#ready(signal);
    return this.#quarantine.watch(requestKey(this.#generateOptions(request)), events, ready, signal);
  }

  figures(): EngineFigures {
    const { residentBytes } = this.#supervisor;
    const { sequences = 0, contextLength = 0 } = this.#loaded ?? {};
    // The steps say nothing once nobody runs.
    const kvTokens = this.#queues.size === 0 ? 0 : this.#kvTokens;
    return { kvTokens, kvTokensMax: sequences * contextLength, residentBytes, quarantined: this.#quarantine.refused };
  }

  onStep(listener: (model: string, step: StepFacts) => void): void {
    this.#stepListeners.add(listener);
  }

  #stepped(step: StepSummary): void {
    this.#kvTokens = step.kvTokens;
    for (const listener of this.#stepListeners) listener(this.#options.modelId, step);
  }

  /** Waits for a child that is loading, for a while: `generate` then says whether it came. */
  async #ready(signal: AbortSignal): Promise<void> {
    if (this.#state === "ready") return;
    const woken = new AbortController();
    const stop = this.onStateChange(() => this.#state === "ready" && woken.abort());
    const either = AbortSignal.any([signal, woken.signal]);
    await this.#options.clock.sleep(readyWaitMs, either).catch(() => undefined);
    stop();
  }

  async *#generate(runtimeRequest: RuntimeRequest, signal: AbortSignal): AsyncGenerator<RuntimeEvent, void, undefined> {
    const { request } = runtimeRequest;
    const count = Math.max(1, request.choiceCount);
    const options = this.#generateOptions(runtimeRequest);
    if (request.echo) yield* this.#echo(runtimeRequest, count);
    const sampled = Math.max(count, request.bestOf);
    if (sampled === 1) return yield* this.#generateOne(runtimeRequest, options, signal);
    const ended = new AbortController();
    const streams = Array.from({ length: sampled }, (_, index) =>
      this.#generateOne(
        runtimeRequest,
        optionsOfChoice(options, index, request),
        AbortSignal.any([signal, ended.signal]),
      ),
    );
    try {
      yield* mergeChoices(streams, { count, logprobs: request.logprobs?.output === true });
    } finally {
      ended.abort();
      // Until each has let go of its slot, others must not have it.
      await Promise.allSettled(streams.map((stream) => stream.return(undefined)));
    }
  }

  /** The prompt, given back before each answer. */
  async *#echo({ request, prepared }: RuntimeRequest, count: number): AsyncIterable<RuntimeEvent> {
    const form = request.prompt?.form;
    const { tokens } = prepared as LlamaPrompt;
    const text = form?.case === "text" ? form.value : await this.detokenize(request.model, [...tokens], true);
    for (let choiceIndex = 0; choiceIndex < count; choiceIndex++) {
      yield { case: "delta", value: create(DeltaSchema, { choiceIndex, part: { case: "text", value: text } }) };
    }
  }

  async *#generateOne(
    { request, prepared }: RuntimeRequest,
    options: GenerateOptions,
    signal: AbortSignal,
  ): AsyncGenerator<RuntimeEvent, void, undefined> {
    const key = this.#nextKey++;
    const reader = this.#chats.reader(key, (prepared as LlamaPrompt).chat, request);
    const queue = new EventQueue(reader === undefined);
    const cancel = (): void => this.#supervisor.tell({ type: "cancel", key });
    if (signal.aborted) throw cancelled();
    this.#supervisor.send({ type: "generate", key, options });
    this.#queues.set(key, queue);
    signal.addEventListener("abort", cancel, { once: true });
    let slotHeld = true;
    const read = async () => {
      const event = await queue.next().catch((thrown: unknown) => {
        slotHeld = false;
        throw thrown;
      });
      if (event.type === "finished" || event.type === "cancelled" || event.type === "failed") slotHeld = false;
      return event;
    };
    try {
      while (slotHeld) {
        const event = await read();
        if (event.type === "cancelled") this.#logCancelled(options.requestId, event.steps);
        if (reader === undefined) yield runtimeEvent(event, options, this.#fingerprint());
        else {
          yield* reader.read(event, options, this.#fingerprint());
          if (reader.ended && slotHeld) cancel();
        }
      }
    } finally {
      if (reader !== undefined) this.#chats.release(request.requestId, reader);
      signal.removeEventListener("abort", cancel);
      // The caller may give the slot to another request only when the child has let go of it.
      if (slotHeld) cancel();
      while (slotHeld) {
        const event = await read().catch(() => undefined);
        if (event?.type === "cancelled") this.#logCancelled(options.requestId, event.steps);
      }
      this.#queues.delete(key);
    }
  }

  answerNow(requestId: string): boolean {
    return this.#chats.answerNow(requestId);
  }

  async tokenize(_model: string, text: string, specialTokens: boolean, signal?: AbortSignal): Promise<Uint32Array> {
    if (this.#loaded !== undefined) requireTextRoom([text], this.#loaded, "text");
    const answer = this.#supervisor.call((call) => ({ type: "tokenize", call, text, specialTokens }), signal);
    return (await answer) as Uint32Array;
  }

  async detokenize(_model: string, tokenIds: readonly number[], specialTokens: boolean): Promise<string> {
    if (this.#loaded !== undefined) requireTokenRoom(tokenIds.length, this.#loaded.contextLength, "token_ids");
    const tokens = Uint32Array.from(tokenIds);
    return (await this.#supervisor.call((call) => ({ type: "detokenize", call, tokens, specialTokens }))) as string;
  }

  async embed(): Promise<EmbedResponse> {
    throw new NodeError(Code.UNIMPLEMENTED, "This model makes no embeddings.", { param: "model" });
  }

  close(): Promise<void> {
    return this.#supervisor.close().finally(() => this.#removeStates());
  }

  /** States are of no use to another child: it numbers its own. */
  #removeStates(): void {
    removeStateFolder(this.#stateFolder);
    if (this.#spillFolder !== undefined) removeStateFolder(this.#spillFolder);
  }

  #changeState(state: ChildState, model: LoadedModel | undefined): void {
    this.#state = state;
    if (model !== undefined) {
      this.#loaded = model;
      this.#chats.adopt(model.chatTemplate);
      this.#options.log(loadedEntry(model, this.#supervisor.residentBytes));
    }
    for (const listener of this.#listeners) listener();
  }

  #logCancelled(requestId: string, steps: number): void {
    this.#options.log({ level: "info", event: "slot.released", request_id: requestId, steps_after_cancel: steps });
  }

  #fingerprint(): string {
    return `fp_${this.#loaded?.engine ?? "unknown"}_${this.#options.modelId}`;
  }

  #generateOptions({ request, prepared, maxTokens }: RuntimeRequest): GenerateOptions {
    const { logprobs, stopping, prefixCache, deterministic } = request;
    const { tokens, chat } = prepared as LlamaPrompt;
    const top = logprobs?.top ?? 0;
    return {
      requestId: request.requestId,
      tokens,
      ...this.#chats.childOptions(chat, stopping?.stopStrings ?? []),
      maxTokens,
      limitedByContext:
        stopping?.maxTokens === undefined && prepared.promptTokens + maxTokens >= (this.#loaded?.contextLength ?? 0),
      sampling: this.#sampling(request),
      stopTokenIds: stopping?.stopTokenIds ?? [],
      logprobs: logprobs?.output ? { top } : undefined,
      promptLogprobs: logprobs?.prompt ? { top } : undefined,
      prefixSalt: deterministic || prefixCache?.disabled ? undefined : (prefixCache?.salt ?? ""),
      deterministic,
      grammar: this.#chats.grammar(chat, request),
      guessTokensMax: this.#options.guessTokensMax ?? 0,
    };
  }

  #sampling({ sampling, stopping }: GenerateRequest): SamplingOptions {
    const defaults = this.#options.samplingDefaults;
    return {
      temperature: sampling?.temperature ?? defaults?.temperature ?? 1,
      topP: sampling?.topP ?? defaults?.topP ?? 1,
      topK: sampling?.topK ?? 0,
      minP: sampling?.minP ?? 0,
      presencePenalty: sampling?.presencePenalty ?? 0,
      frequencyPenalty: sampling?.frequencyPenalty ?? 0,
      repetitionPenalty: sampling?.repetitionPenalty ?? 1,
      seed: sampling?.seed === undefined ? randomBytes(4).readUInt32LE() : foldSeed(sampling.seed),
      logitBias: sampling?.logitBias.map(({ tokenId, bias }) => ({ tokenId, bias })) ?? [],
      ignoreEos: stopping?.ignoreEos ?? false,
      minTokens: stopping?.minTokens ?? 0,
    };
  }
}

/** What the engine came up with, for whoever sizes a node. */
function loadedEntry(model: LoadedModel, residentBytes = 0): LogEntry {
  const { gpu, gpuDevices, gpuLayers, layers, sequences, contextLength, batchTokens, threads, kvMemoryMb } = model;
  return {
    level: "info",
    event: "runtime.loaded",
    gpu,
    gpu_devices: gpuDevices,
    gpu_layers: gpuLayers,
    layers,
    sequences,
    context_length: contextLength,
    batch_tokens: batchTokens,
    threads,
    kv_memory_mb: kvMemoryMb,
    resident_mb: Math.round(residentBytes / 1e6),
  };
}

/** One of several answers: with a seed of its own, and a prompt that is computed once for all of them. */
function optionsOfChoice(
  options: GenerateOptions,
  index: number,
  { bestOf, choiceCount, deterministic }: GenerateRequest,
): GenerateOptions {
  const { sampling, logprobs, prefixSalt, requestId } = options;
  const ranked = bestOf > Math.max(1, choiceCount);
  // No prompt of another request has this salt: what reads and leaves nothing still shares with itself.
  const ownSalt = `\u0000${requestId}`;
  return {
    ...options,
    sampling: { ...sampling, seed: (sampling.seed + index) >>> 0 },
    logprobs: logprobs ?? (ranked ? { top: 0 } : undefined),
    prefixSalt: deterministic ? undefined : (prefixSalt ?? ownSalt),
  };
}

/** The engine seeds by 32 bits; both halves of a longer seed count. */
function foldSeed(seed: bigint): number {
  return Number((seed ^ (seed >> 32n)) & 0xffffffffn);
}

function cancelled(): NodeError {
  return new NodeError(Code.CANCELLED, "The caller cancelled the request.");
}
