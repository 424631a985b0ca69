// The child process that runs the bare decode loop: node-llama-cpp's native objects and no server around them.
import { basename } from "node:path";
import { Template } from "@huggingface/jinja";
import { getLlama, type Llama, type LlamaContext, LlamaLogLevel, type LlamaModel } from "node-llama-cpp";
import { CATALOGUE } from "../inference-node/model-source/catalogue.ts";
import { type LoopEngine, runDecodeLoop } from "./decode-loop.ts";
import type { LoopCommand, LoopOptions, LoopReply } from "./loop-protocol.ts";
import type { Sampling } from "./target.ts";

/** node-llama-cpp 3.21.1's native objects, as far as the loop uses them; internal to it, hence the exact pin. */
interface NativeContext {
  initBatch(size: number): void;
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(batchIndex: number, sampler: NativeSampler): Promise<number>;
  disposeSequence(sequence: number): void;
}

interface NativeModel {
  tokenize(text: string, specialTokens: boolean): Uint32Array;
  isEogToken(token: number): boolean;
}

interface NativeSampler {
  applyConfig(config: { temperature: number; topK?: number; topP?: number; seed?: number }): void;
  dispose(): void;
}

interface Loaded {
  readonly options: LoopOptions;
  readonly model: LlamaModel;
  readonly template: Template;
  readonly native: { readonly context: NativeContext; readonly model: NativeModel; newSampler(): NativeSampler };
}

let loaded: Loaded | undefined;
let cpuMark = process.cpuUsage();

async function load(options: LoopOptions): Promise<Loaded> {
  const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath: options.modelPath });
  const context = await model.createContext({
    sequences: options.sequences,
    contextSize: options.contextLength,
    batchSize: Math.max(options.batchTokens, options.sequences),
    threads: options.threads,
    ignoreMemorySafetyChecks: true,
  });
  // The catalogue may serve a model with a template of its own: the loop must prefill what the node prefills.
  const entry = CATALOGUE.find(({ file }) => file === basename(options.modelPath));
  const template = entry?.serving?.chatTemplate ?? model.fileInfo.metadata.tokenizer?.chat_template;
  if (!template) throw new Error("the model has no chat template, and the servers are asked by chat");
  return { options, model, template: new Template(template), native: reachNative(llama, model, context) };
}

function reachNative(llama: Llama, model: LlamaModel, context: LlamaContext): Loaded["native"] {
  const bindings = (llama as unknown as { _bindings?: { AddonSampler?: new (model: NativeModel) => NativeSampler } })
    ._bindings;
  const nativeModel = (model as unknown as { _model?: NativeModel })._model;
  const nativeContext = (context as unknown as { _ctx?: NativeContext })._ctx;
  const Sampler = bindings?.AddonSampler;
  if (Sampler === undefined || nativeModel?.tokenize === undefined || nativeContext?.decodeBatch === undefined) {
    throw new Error("node-llama-cpp is not the version that the loop was written for (3.21.1)");
  }
  return { context: nativeContext, model: nativeModel, newSampler: () => new Sampler(nativeModel) };
}

/** The tokens that a server makes of the same chat request. */
function tokenize({ model, template, native }: Loaded, prompt: string): Uint32Array {
  const { bos, bosString, eosString, shouldPrependBosToken } = model.tokens;
  const text = template.render({
    messages: [{ role: "user", content: prompt }],
    add_generation_prompt: true,
    bos_token: bosString ?? "",
    eos_token: eosString ?? "",
  });
  const tokens = native.model.tokenize(text, true);
  return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? Uint32Array.of(bos, ...tokens) : tokens;
}

async function measure(streams: readonly (readonly string[])[], sampling: Sampling): Promise<LoopReply> {
  const engine = required();
  const { contextLength, sequences, batchTokens } = engine.options;
  const idle = process.cpuUsage(cpuMark);
  const tokenized = streams.map((prompts) => prompts.map((prompt) => tokenize(engine, prompt)));
  const longest = Math.max(...tokenized.flat().map((tokens) => tokens.length)) + sampling.maxTokens;
  if (streams.length > sequences) throw new Error(`${streams.length} streams do not fit ${sequences} sequences`);
  if (longest > contextLength) {
    throw new Error(`a request of ${longest} tokens does not fit a context of ${contextLength} (--loop-context)`);
  }
  const samplers = streams.map((_, index) => {
    const sampler = engine.native.newSampler();
    const { temperature } = sampling;
    sampler.applyConfig(temperature === 0 ? { temperature } : { temperature, topK: 0, topP: 1, seed: index + 1 });
    return sampler;
  });
  try {
    const requests = await runDecodeLoop(engineOf(engine, samplers), {
      streams: tokenized,
      maxTokens: sampling.maxTokens,
      ignoreEos: sampling.ignoreEos,
      batchTokens: Math.max(batchTokens, sequences),
      now: () => performance.now(),
    });
    return { type: "measured", requests, idleCpuMs: (idle.user + idle.system) / 1000 };
  } finally {
    for (const sampler of samplers) sampler.dispose();
  }
}

function engineOf({ native }: Loaded, samplers: readonly NativeSampler[]): LoopEngine {
  const { context, model } = native;
  return {
    initBatch: (size) => context.initBatch(size),
    addToBatch: (sequence, position, tokens, logits) => context.addToBatch(sequence, position, tokens, logits),
    decodeBatch: () => context.decodeBatch(),
    sampleToken: (batchIndex, sequence) => {
      const sampler = samplers[sequence];
      if (sampler === undefined) throw new Error(`no sampler for sequence ${sequence}`);
      return context.sampleToken(batchIndex, sampler);
    },
    disposeSequence: (sequence) => context.disposeSequence(sequence),
    isEndOfGeneration: (token) => model.isEogToken(token),
  };
}

function required(): Loaded {
  if (loaded === undefined) throw new Error("the model is not loaded");
  return loaded;
}

async function reply(command: LoopCommand): Promise<LoopReply> {
  try {
    return await answer(command);
  } catch (error) {
    return { type: "failed", message: error instanceof Error ? error.message : String(error) };
  } finally {
    cpuMark = process.cpuUsage();
  }
}

async function answer(command: LoopCommand): Promise<LoopReply> {
  switch (command.type) {
    case "load":
      loaded = await load(command);
      return { type: "loaded", model: basename(command.modelPath) };
    case "count":
      return { type: "counted", tokens: tokenize(required(), command.prompt).length };
    case "round":
      return measure(command.streams, command.sampling);
  }
}

process.on("message", async (command: LoopCommand) => {
  process.send?.(await reply(command));
});
// Native code may be at work on other threads: leaving by a signal is the one way out that never waits for it.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
