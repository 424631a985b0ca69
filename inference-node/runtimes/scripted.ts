// The scripted runtime: exact deltas, delays and failures on command, for tests of everything around a model.
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type EmbedRequest,
  type EmbedResponse,
  EmbedResponseSchema,
} from "../../proto/gen/sluice/inference/v1/embed_pb.js";
import {
  type Delta,
  type Finished,
  FinishedSchema,
  FinishReason,
  type GenerateRequest,
  PrefilledSchema,
  Thinking_Mode,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability, type Model, ModelSchema, ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { type Prompt, ToolChoice_Mode } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { Clock } from "../clock.ts";
import { Code, NodeError } from "../node-error.ts";
import type { RequestFeature } from "../request-features.ts";
import type { PreparedPrompt, Runtime, RuntimeEvent, RuntimeRequest } from "../runtime.ts";
import { requireTextRoom, requireTokenRoom } from "../text-room.ts";
import { embeddingDimensions, embeddingOf } from "./scripted/embedding.ts";
import { type Plan, type PlanLimits, planScript } from "./scripted/plan.ts";
import { readPrompt } from "./scripted/prompt.ts";
import { parseScript, type Script, type ScriptedToolCall } from "./scripted/script.ts";
import { tokenBytesMax, tokenize, tokenText } from "./scripted/tokenizer.ts";

export interface ScriptedRuntimeOptions {
  clock: Clock;
  /** Generations that run at once; 256 when undefined. */
  sequences?: number | undefined;
  /** Tokens; 32,768 when undefined. */
  contextLength?: number | undefined;
  /** Output limit of a request that names none; 4,096 when undefined. */
  defaultMaxTokens?: number | undefined;
}

/** What requests call the scripted model. */
const scriptedModelId = "scripted";
const systemFingerprint = "fp_scripted";

/** Makes the runtime that serves the model `scripted` as docs/scripted-runtime.md says. */
export function createScriptedRuntime(options: ScriptedRuntimeOptions): Runtime {
  return new ScriptedRuntime(options);
}

interface ScriptedPreparation extends PreparedPrompt {
  readonly script: Script;
}

interface RunningScript {
  /** Whether the next delta is reasoning. */
  reasons: boolean;
  answerNow: boolean;
}

class ScriptedRuntime implements Runtime {
  readonly kind = "scripted";
  // Every token is certain, so that whatever shapes a distribution (temperature, penalties, seed) is honoured as it is.
  readonly features: ReadonlySet<RequestFeature> = new Set<RequestFeature>([
    "deterministic",
    "sampling.typical_p",
    "stopping.stop_token_ids",
    "thinking.budget_tokens",
    "prompt.text",
    "prompt.tokens",
    "prompt.chat.continue_final_message",
  ]);
  readonly #clock: Clock;
  #model: Model;
  readonly #listeners = new Set<() => void>();
  readonly #running = new Map<string, RunningScript>();

  constructor({ clock, sequences, contextLength = 32_768, defaultMaxTokens = 4_096 }: ScriptedRuntimeOptions) {
    this.#clock = clock;
    this.#model = create(ModelSchema, {
      id: scriptedModelId,
      state: ModelState.LOADING,
      contextLength,
      defaultMaxTokens: Math.min(defaultMaxTokens, contextLength),
      capabilities: [
        Capability.CHAT,
        Capability.TOOLS,
        Capability.REASONING,
        Capability.LOGPROBS,
        Capability.EMBEDDINGS,
      ],
      license: "Apache-2.0",
      ownedBy: "sluice",
      createdAt: timestampFromMs(clock.now()),
      runtime: this.kind,
      sequences: sequences ?? 256,
      embeddingDimensions,
    });
  }

  async start(): Promise<void> {
    this.#changeState(ModelState.READY);
  }

  models(): readonly Model[] {
    return [this.#model];
  }

  onStateChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async prepare(_model: string, prompt: Prompt): Promise<ScriptedPreparation> {
    this.#requireReady();
    const { promptTokens, message, param } = readPrompt(prompt);
    const script = parseScript(message, param);
    if (script.fail !== undefined && script.failAfter === undefined) throw script.fail;
    return { promptTokens, script };
  }

  async *generate(runtimeRequest: RuntimeRequest, signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    const { request, prepared } = runtimeRequest;
    const { script } = prepared as ScriptedPreparation;
    const limits = this.#limits(runtimeRequest, script);
    const reasons = script.reasoning !== "" && limits.reasoningTokensMax > 0;
    const state: RunningScript = { reasons, answerNow: false };
    const startedAt = this.#clock.monotonic();
    this.#running.set(request.requestId, state);
    try {
      if (script.prefillMs > 0) await this.#sleep(script.prefillMs, signal);
      const promptTokens = script.usage.promptTokens ?? prepared.promptTokens;
      const cachedTokens = script.usage.cachedTokens ?? 0;
      yield { case: "prefilled", value: create(PrefilledSchema, { promptTokens, cachedTokens, systemFingerprint }) };
      const prefilledAt = this.#clock.monotonic();
      const plan = yield* this.#play(script, limits, state, signal);
      const finished = finish(plan, script, prepared.promptTokens);
      finished.timings = {
        $typeName: "sluice.inference.v1.Timings",
        prefill: durationFromMs(Math.round(prefilledAt - startedAt)),
        decode: durationFromMs(Math.round(this.#clock.monotonic() - prefilledAt)),
      };
      yield { case: "finished", value: finished };
    } finally {
      if (this.#running.get(request.requestId) === state) this.#running.delete(request.requestId);
    }
  }

  answerNow(requestId: string): boolean {
    const state = this.#running.get(requestId);
    if (state?.reasons !== true) return false;
    state.answerNow = true;
    return true;
  }

  async tokenize(_model: string, text: string): Promise<Uint32Array> {
    requireTextRoom([text], { contextLength: this.#model.contextLength, longestTokenBytes: tokenBytesMax }, "text");
    return Uint32Array.from(tokenize(text));
  }

  async detokenize(_model: string, tokenIds: readonly number[]): Promise<string> {
    requireTokenRoom(tokenIds.length, this.#model.contextLength, "token_ids");
    return tokenIds.map((id) => tokenText(id, "token_ids")).join("");
  }

  async embed(request: EmbedRequest, signal: AbortSignal): Promise<EmbedResponse> {
    signal.throwIfAborted();
    this.#requireReady();
    const inputs = request.inputs.map(({ input }) =>
      input.case === "tokens" ? input.value.ids : tokenize(input.value ?? ""),
    );
    const { contextLength } = this.#model;
    for (const [index, ids] of inputs.entries()) {
      for (const id of ids) tokenText(id, `inputs[${index}]`);
      if (ids.length <= contextLength) continue;
      if (!request.truncate) throw tooLong(index, ids.length, contextLength);
      inputs[index] = ids.slice(0, contextLength);
    }
    const dimensions = request.dimensions || embeddingDimensions;
    return create(EmbedResponseSchema, {
      embeddings: inputs.map((ids) => ({ values: embeddingOf(ids, dimensions) })),
      promptTokens: inputs.reduce((sum, ids) => sum + ids.length, 0),
    });
  }

  async close(): Promise<void> {
    this.#changeState(ModelState.UNAVAILABLE);
  }

  /** Streams a plan's deltas, and plans again when the reasoning is to be closed. Returns the plan it ended with. */
  async *#play(
    script: Script,
    limits: PlanLimits,
    state: RunningScript,
    signal: AbortSignal,
  ): AsyncGenerator<RuntimeEvent, Plan, undefined> {
    let plan = planScript(script, limits);
    let rest = plan.deltas;
    let sent = 0;
    for (let next = 0; next < rest.length; next += 1, sent += 1) {
      if (sent > 0 && script.delayMs > 0) await this.#sleep(script.delayMs, signal);
      if (signal.aborted) throw signal.reason;
      if (state.answerNow && rest[next]?.part.case === "reasoning") {
        const before = next === 0 ? 0 : (rest[next - 1]?.completionTokens ?? 0);
        plan = planScript(script, { ...limits, reasoningTokensMax: before });
        rest = plan.deltas.filter(({ part }) => part.case !== "reasoning");
        next = 0;
      }
      if (sent === script.failAfter && script.fail) throw script.fail;
      const value: Delta | undefined = rest[next];
      state.reasons = rest[next + 1]?.part.case === "reasoning";
      if (value) yield { case: "delta", value };
    }
    if (script.failAfter !== undefined && script.fail) throw script.fail;
    return plan;
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal);
    this.#requireReady();
  }

  #limits({ request, prepared, maxTokens }: RuntimeRequest, script: Script): PlanLimits {
    const { stopping, thinking, logprobs } = request;
    const atContext =
      stopping?.maxTokens === undefined && prepared.promptTokens + maxTokens >= this.#model.contextLength;
    const thinks = thinking?.mode !== Thinking_Mode.DISABLED;
    return {
      maxTokens,
      limitReason: atContext ? FinishReason.CONTEXT_LENGTH : FinishReason.LENGTH,
      reasoningTokensMax: thinks ? thinking?.budgetTokens || Number.POSITIVE_INFINITY : 0,
      stopStrings: stopping?.stopStrings ?? [],
      stopTokenIds: new Set(stopping?.stopTokenIds),
      toolCalls: toolCalls(request, script),
      topLogprobs: logprobs?.output ? logprobs.top : undefined,
    };
  }

  #requireReady(): void {
    if (this.#model.state === ModelState.READY) return;
    throw new NodeError(Code.UNAVAILABLE, "The scripted runtime is not running.");
  }

  #changeState(state: ModelState): void {
    this.#model = { ...this.#model, state };
    for (const listener of this.#listeners) listener();
  }
}

/** The script's calls as the request's tool choice lets them through; a choice that forces a call gets an empty one. */
function toolCalls({ prompt }: GenerateRequest, script: Script): readonly ScriptedToolCall[] {
  const chat = prompt?.form.case === "chat" ? prompt.form.value : undefined;
  const choice = chat?.toolChoice;
  if (choice?.mode === ToolChoice_Mode.NONE) return [];
  if (script.toolCalls.length > 0) {
    return chat?.parallelToolCalls === false ? script.toolCalls.slice(0, 1) : script.toolCalls;
  }
  const forced = { id: undefined, arguments: "{}" };
  if (choice?.mode === ToolChoice_Mode.NAMED) return [{ ...forced, name: choice.name }];
  if (choice?.mode !== ToolChoice_Mode.REQUIRED) return [];
  return [{ ...forced, name: choice.allowedNames[0] ?? chat?.tools[0]?.name ?? "" }];
}

function finish(plan: Plan, { usage }: Script, promptTokens: number): Finished {
  return create(FinishedSchema, {
    reason: plan.reason,
    stopSequence: plan.stopSequence,
    systemFingerprint,
    usage: {
      promptTokens: usage.promptTokens ?? promptTokens,
      cachedTokens: usage.cachedTokens ?? 0,
      completionTokens: usage.completionTokens ?? plan.completionTokens,
      reasoningTokens: usage.reasoningTokens ?? plan.reasoningTokens,
    },
  });
}

function tooLong(index: number, tokens: number, contextLength: number): NodeError {
  return new NodeError(
    Code.OUT_OF_RANGE,
    `inputs[${index}] has ${tokens} tokens, but the model takes at most ${contextLength}.`,
    {
      param: `inputs[${index}]`,
      reason: "CONTEXT_LENGTH_EXCEEDED",
      metadata: { context_length: String(contextLength), prompt_tokens: String(tokens), max_tokens: "0" },
    },
  );
}
