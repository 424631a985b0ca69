// The native runtime: llama.cpp in a supervised child process, behind the seam.
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import type { EmbedResponse } from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import { DeltaSchema, type Thinking } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { type Model, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { type Prompt, PromptSchema } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, NodeError } from "../node-error.ts";
import type { RequestFeature } from "../request-features.ts";
import type { EngineFigures, Runtime, RuntimeEvent, RuntimeRequest, StepFacts } from "../runtime.ts";
import { requireTextRoom, requireTokenRoom } from "../text-room.ts";
import { Chats } from "./llama/chats.ts";
import { mergeChoices } from "./llama/choices.ts";
import { anyDevice } from "./llama/config.ts";
import { CrashReports } from "./llama/crash-report.ts";
import { EventQueue } from "./llama/event-queue.ts";
import { generateOptions, type LlamaPrompt, optionsOfChoice } from "./llama/generate-options.ts";
import { type LlamaRuntimeOptions, loadedEntry, modelMessage } from "./llama/model-options.ts";
import { requirePromptRoom } from "./llama/prompt-room.ts";
import type { GenerateOptions, LoadedModel, StepSummary } from "./llama/protocol.ts";
import { Quarantine, requestKey } from "./llama/quarantine.ts";
import { runtimeEvent } from "./llama/runtime-events.ts";
import { removeStaleStateFolders, removeStateFolder, stateFolder } from "./llama/state-folder.ts";
import { type ChildState, Supervisor } from "./llama/supervisor.ts";

/** How long a request whose turn came while the engine restarts waits for it. */
const readyWaitMs = 15_000;

/** Runs one GGUF model. */
export function createLlamaRuntime(options: LlamaRuntimeOptions): Runtime {
  return new LlamaRuntime(options);
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
    return [
      modelMessage(this.#options, loaded, {
        state: states[this.#state],
        capabilities: this.#chats.capabilities,
        createdAtMs: this.#createdAtMs,
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
    const options = this.#childOptions(request);
    if (!this.#quarantine.empty) this.#quarantine.check(requestKey(options));
  }

  generate(request: RuntimeRequest, signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const events = this.#generate(request, signal);
    if (this.#quarantine.empty) return events;
    const ready = (): Promise<void> => this.#ready(signal);
    return this.#quarantine.watch(requestKey(this.#childOptions(request)), events, ready, signal);
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
    const options = this.#childOptions(runtimeRequest);
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

  #childOptions(request: RuntimeRequest): GenerateOptions {
    return generateOptions(request, this.#options, this.#chats, this.#loaded?.contextLength ?? 0);
  }
}

function cancelled(): NodeError {
  return new NodeError(Code.CANCELLED, "The caller cancelled the request.");
}
