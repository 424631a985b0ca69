// Loads a model into llama.cpp and answers what only the loaded model knows: tokens, templates, limits.
import { availableParallelism, totalmem } from "node:os";
import { setImmediate } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { GgmlType, type Llama, LlamaLogLevel, type LlamaModel } from "node-llama-cpp";
import { type Prompt, PromptSchema } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import type { ChatTemplateSource } from "../../chat-template.ts";
import { systemClock } from "../../clock.ts";
import { Code, NodeError } from "../../node-error.ts";
import { requireCountable } from "../../text-room.ts";
import { type Addon, reachAddon } from "./addon.ts";
import { contextFailure, loadFailure, openEngine } from "./device.ts";
import { engineName } from "./engine-name.ts";
import { type Capacity, type DeviceDefaults, defaultKvBytes, deviceDefaults, planCapacity } from "./memory.ts";
import type { DeviceOptions, LoadedModel, LoadOptions } from "./protocol.ts";
import { SlicedTokenizer } from "./sliced-tokenizer.ts";
import { Vocabulary } from "./vocabulary.ts";

/** A loaded model with its context; lives as long as the child process. */
export interface Engine {
  readonly addon: Addon;
  readonly vocabulary: Vocabulary;
  readonly info: LoadedModel;
  /**
   * Tokens of a prompt, of a chat by its rendered `segments`. Rejects with a NodeError when the model can't take it. The
   * streams go on meanwhile.
   */
  promptTokens(prompt: Prompt, segments: readonly string[] | undefined, signal: AbortSignal): Promise<Uint32Array>;
  /** Tokens of a text; rejects with OUT_OF_RANGE for one of many contexts' length. The streams go on meanwhile. */
  tokenize(text: string, specialTokens: boolean, signal: AbortSignal): Promise<Uint32Array>;
  isEndOfGeneration(token: number): boolean;
  /** Text of tokens; throws INVALID_ARGUMENT for an id outside the vocabulary, which would abort the process. */
  detokenize(tokens: Uint32Array, specialTokens: boolean): string;
  /** Every token that ends a generation. */
  readonly endOfGenerationTokens: readonly number[];
}

/** How long a failed load waits for the engine's log to say why. */
const NATIVE_WORDS_MS = 200;

export type NativeLog = (level: "warn" | "error", message: string) => void;

/** Loads a model. Rejects with a sentence for the operator. */
export async function loadEngine(options: LoadOptions, log: NativeLog): Promise<Engine> {
  let nativeReason: string | undefined;
  const { device } = options;
  const flashAttention = device.flashAttention === "auto" ? ("auto" as const) : device.flashAttention === "on";
  const llama = await openEngine({
    device,
    logger: (level, message) => {
      const isError = level === LlamaLogLevel.error || level === LlamaLogLevel.fatal;
      if (isError) nativeReason ??= nativeReasonOf(message);
      log(isError ? "error" : "warn", message);
    },
  });
  const gpuLayers = device.gpuLayers ?? "auto";
  const load = { modelPath: options.modelPath, gpuLayers, defaultContextFlashAttention: flashAttention } as const;
  const model = await llama.loadModel(load).catch(async (thrown: unknown) => {
    // The engine's own words come from another thread, a little after the failure.
    if (nativeReason === undefined) await systemClock.sleep(NATIVE_WORDS_MS);
    throw loadFailure(options.modelPath, nativeReason ?? (thrown instanceof Error ? thrown.message : String(thrown)));
  });
  const onGpu = model.gpuLayers > 0 ? await llama.getVramState() : { total: 0, free: 0 };
  const defaults = deviceDefaults(onGpu.total);
  const capacity = await chooseCapacity(model, options, defaults, onGpu.free);
  // One core stays free for everything that is not the model: with every core computing, one stream falls by half.
  const threads = options.threads ?? Math.max(1, availableParallelism() - 1);
  const batchTokens = Math.max(options.batchTokens ?? defaults.batchTokens, capacity.sequences);
  const wanted = {
    sequences: capacity.sequences,
    contextSize: capacity.contextLength,
    batchSize: batchTokens,
    threads,
    flashAttention,
    experimentalKvCacheKeyType: kvTypes[device.kvType],
    experimentalKvCacheValueType: kvTypes[device.kvType],
    ignoreMemorySafetyChecks: true,
  };
  const context = await model.createContext(wanted).catch(async (thrown: unknown) => {
    if (nativeReason === undefined) await systemClock.sleep(NATIVE_WORDS_MS);
    throw contextFailure(nativeReason ?? (thrown instanceof Error ? thrown.message : String(thrown)));
  });
  const addon = reachAddon(llama, model, context);
  const limits = {
    threads: context.currentThreads,
    batchTokens,
    gpuDevices: model.gpuLayers > 0 ? await llama.getGpuDeviceNames() : [],
    kvType: device.kvType,
    flashAttention: device.flashAttention,
  };
  return new LlamaEngine(llama, model, addon, capacity, limits, options.chatTemplate);
}

/** `llama_model_load: error loading model: tensor ... is not within the file bounds` without the names of functions. */
function nativeReasonOf(message: string): string {
  return message.trim().replace(/^(?:\w+: )*/, "");
}

const kvTypes = { f16: GgmlType.F16, q8_0: GgmlType.Q8_0, q4_0: GgmlType.Q4_0 } as const;

async function chooseCapacity(
  model: LlamaModel,
  options: LoadOptions,
  device: DeviceDefaults,
  freeVramBytes: number,
): Promise<Capacity> {
  const kvType = kvTypes[options.device.kvType];
  const estimate = async (contextSize: number): Promise<number> => {
    const needs = await model.fileInsights.estimateContextResourceRequirementsV2({
      contextSize,
      sequences: 1,
      modelGpuLayers: model.gpuLayers,
      batchSize: 512,
      kvCacheKeyType: kvType,
      kvCacheValueType: kvType,
    });
    return needs.cpuRam + needs.gpuVram;
  };
  // The difference of two estimates leaves out what does not grow with the context.
  const kvBytesPerToken = Math.max(1, ((await estimate(4096)) - (await estimate(2048))) / 2048);
  return planCapacity({
    kvBytesMax:
      options.kvMemoryMb === undefined
        ? defaultKvBytes(totalmem(), freeVramBytes) / (options.memoryShares ?? 1)
        : options.kvMemoryMb * 1e6,
    sequences: options.sequences,
    contextLength: options.contextLength,
    trainContextLength: model.trainContextSize,
    kvBytesPerToken,
    device,
  });
}

class LlamaEngine implements Engine {
  readonly addon: Addon;
  readonly vocabulary: Vocabulary;
  readonly info: LoadedModel;
  readonly endOfGenerationTokens: readonly number[];
  readonly #model: LlamaModel;
  readonly #tokenizer: SlicedTokenizer;

  constructor(
    llama: Llama,
    model: LlamaModel,
    addon: Addon,
    capacity: Capacity,
    limits: { threads: number; batchTokens: number; gpuDevices: string[] } & Pick<
      DeviceOptions,
      "kvType" | "flashAttention"
    >,
    chatTemplate: string | undefined,
  ) {
    this.addon = addon;
    this.#model = model;
    const metadata = model.fileInfo.metadata;
    const size = metadata.tokenizer?.ggml?.tokens?.length ?? 0;
    this.vocabulary = new Vocabulary(addon.model, size, model.vocabularyType);
    this.#tokenizer = new SlicedTokenizer({
      model: addon.model,
      textsWithSpace: this.vocabulary.textsWithSpace(),
      indivisible: this.vocabulary.indivisibleTexts(),
      // A turn of the event loop: what the engine finished meanwhile comes first.
      pause: () => setImmediate(),
    });
    this.endOfGenerationTokens = Array.from({ length: size }, (_, id) => id).filter((id) => addon.model.isEogToken(id));
    this.info = {
      contextLength: capacity.contextLength,
      sequences: capacity.sequences,
      threads: limits.threads,
      batchTokens: limits.batchTokens,
      kvMemoryMb: Math.ceil(capacity.kvBytes / 1e6),
      vocabularySize: size,
      longestTokenBytes: this.vocabulary.longestTokenBytes(),
      chatTemplate: this.#templateSource(chatTemplate ?? metadata.tokenizer?.chat_template),
      hasFillInMiddle: this.#fillInMiddleTokens() !== undefined,
      license: metadata.general?.license ?? "",
      organization: textOf((metadata.general as Record<string, unknown> | undefined)?.organization),
      quantization: model.typeDescription.split(" ").at(-1) ?? "",
      engine: engineName({
        ...limits,
        release: llama.llamaCppRelease.release,
        gpu: llama.gpu || "cpu",
        systemInfo: llama.systemInfo,
      }),
      gpu: llama.gpu || "cpu",
      gpuDevices: limits.gpuDevices,
      gpuLayers: model.gpuLayers,
      layers: model.fileInsights.totalLayers,
    };
  }

  isEndOfGeneration(token: number): boolean {
    return this.addon.model.isEogToken(token);
  }

  detokenize(tokens: Uint32Array, specialTokens: boolean): string {
    return this.addon.model.detokenize(this.#checkedIds(tokens, "token_ids"), specialTokens);
  }

  async tokenize(text: string, specialTokens: boolean, signal: AbortSignal): Promise<Uint32Array> {
    return joined(await this.#tokens([text], specialTokens, signal, "text"));
  }

  async promptTokens(
    prompt: Prompt,
    segments: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<Uint32Array> {
    switch (prompt.form.case) {
      case "chat":
        return this.#withBos(await this.#tokens(segments ?? [], true, signal));
      case "text":
        return this.#withBos(await this.#tokens([prompt.form.value], false, signal));
      case "tokens":
        return this.#checkedIds(prompt.form.value.ids, "prompt.tokens");
      case "fillInMiddle": {
        const tokens = this.#fillInMiddleTokens();
        if (tokens === undefined) {
          throw new NodeError(Code.FAILED_PRECONDITION, "This model has no fill-in-the-middle tokens.", {
            param: "prompt.fill_in_middle",
          });
        }
        const { prefix, suffix } = prompt.form.value;
        return this.#withBos([
          [tokens.prefix],
          ...(await this.#tokens([prefix], false, signal)),
          [tokens.suffix],
          ...(await this.#tokens([suffix], false, signal)),
          [tokens.middle],
        ]);
      }
      default:
        throw new NodeError(Code.INVALID_ARGUMENT, "The prompt is empty.", { param: "prompt" });
    }
  }

  #tokens(
    texts: readonly string[],
    specialTokens: boolean,
    signal: AbortSignal,
    param = "prompt",
  ): Promise<Uint32Array[]> {
    const onCount = (tokens: number): void => requireCountable(tokens, this.info.contextLength, param);
    return this.#tokenizer.tokenize(texts, specialTokens, { onCount, signal });
  }

  #withBos(parts: readonly ArrayLike<number>[]): Uint32Array {
    const tokens = joined(parts);
    const { bos } = this.#model.tokens;
    if (!this.#model.tokens.shouldPrependBosToken || bos === null || tokens[0] === bos) return tokens;
    return joined([[bos], tokens]);
  }

  #checkedIds(ids: ArrayLike<number> & Iterable<number>, param: string): Uint32Array {
    const wrong = Array.from(ids).find((id) => id >= this.vocabulary.size);
    if (wrong !== undefined) {
      throw new NodeError(
        Code.INVALID_ARGUMENT,
        `Token id ${wrong} is outside the vocabulary of ${this.vocabulary.size} tokens.`,
        { param },
      );
    }
    return Uint32Array.from(ids);
  }

  #templateSource(template: string | undefined): ChatTemplateSource | undefined {
    if (template === undefined || template === "") return undefined;
    return {
      template,
      bosToken: this.#model.tokens.bosString ?? "",
      eosToken: this.#model.tokens.eosString ?? "",
      controlTokens: this.vocabulary.controlTokenTexts(),
    };
  }

  #fillInMiddleTokens(): { prefix: number; suffix: number; middle: number } | undefined {
    const { prefix, suffix, middle } = this.#model.tokens.infill;
    return prefix === null || suffix === null || middle === null ? undefined : { prefix, suffix, middle };
  }
}

function joined(parts: readonly ArrayLike<number>[]): Uint32Array {
  const tokens = new Uint32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    tokens.set(part, offset);
    offset += part.length;
  }
  return tokens;
}

/** Metadata that the package's types don't list. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Reads a prompt as the node sent it. */
export function decodePrompt(bytes: Uint8Array): Prompt {
  return fromBinary(PromptSchema, bytes);
}
