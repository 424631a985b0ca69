// A runtime in front of a fake engine, and a way to run one generation and keep all that came of it.
import { create, create as createPrompt, type MessageInitShape } from "@bufbuild/protobuf";
import type { Delta, Finished, Prefilled } from "../../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { GenerateRequestSchema } from "../../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { PromptSchema, Role } from "../../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { systemClock } from "../../../clock.ts";
import type { LogEntry } from "../../../log.ts";
import type { Runtime } from "../../../runtime.ts";
import { createOpenAiRuntime, type OpenAiRuntimeOptions } from "../../openai.ts";
import { readOpenAiConfig } from "../config.ts";
import { type FakeUpstream, fakeUpstream, type Handler } from "./fake-upstream.ts";

export interface Fronted {
  readonly engine: FakeUpstream;
  readonly runtime: Runtime;
  readonly entries: LogEntry[];
  close(): Promise<void>;
}

export interface FrontedOptions extends Partial<Omit<OpenAiRuntimeOptions, "config">> {
  /** Of the SLUICE_OPENAI_ variables, without that. */
  env?: Record<string, string>;
  start?: boolean;
}

/** Starts an engine with these routes and the runtime in front of it. */
export async function fronted(routes: Record<string, Handler> = {}, options: FrontedOptions = {}): Promise<Fronted> {
  const { env = {}, start = true, ...rest } = options;
  const engine = await fakeUpstream(routes);
  const named = Object.fromEntries(Object.entries(env).map(([name, value]) => [`SLUICE_OPENAI_${name}`, value]));
  const config = readOpenAiConfig({ SLUICE_OPENAI_URL: engine.url, SLUICE_OPENAI_METRICS_INTERVAL_MS: "0", ...named });
  const entries: LogEntry[] = [];
  const runtime = createOpenAiRuntime({ config, clock: systemClock, log: (entry) => entries.push(entry), ...rest });
  if (start) await runtime.start();
  return {
    engine,
    runtime,
    entries,
    close: async () => {
      await runtime.close();
      await engine.close();
    },
  };
}

export type RequestInit = Exclude<MessageInitShape<typeof GenerateRequestSchema>, { $typeName: string }>;

export interface Ran {
  readonly prefilled: Prefilled;
  readonly deltas: Delta[];
  readonly finished: Finished;
  /** Texts of a kind, joined. */
  readonly text: string;
  readonly reasoning: string;
}

export interface RunOptions {
  signal?: AbortSignal;
  onAccepted?: () => void;
  onDelta?: (delta: Delta) => void | Promise<void>;
}

let requests = 0;

/** Runs one generation of the engine's first model; rejects with what it failed with. */
export async function run(runtime: Runtime, init: RequestInit = {}, options: RunOptions = {}): Promise<Ran> {
  const { signal = new AbortController().signal, onAccepted, onDelta } = options;
  const model = init.model ?? runtime.models()[0]?.id ?? "";
  requests += 1;
  const prompt = init.prompt ?? {
    form: { case: "chat", value: { messages: [{ role: Role.USER, content: "Hello" }] } },
  };
  const request = create(GenerateRequestSchema, { requestId: `test-${requests}`, ...init, model, prompt });
  const prepared = await runtime.prepare(model, createPrompt(PromptSchema, prompt), signal, request.thinking);
  const maxTokens = request.stopping?.maxTokens ?? 64;
  const runtimeRequest = { request, prepared, maxTokens, ...(onAccepted && { onAccepted }) };
  runtime.check?.(runtimeRequest);
  const deltas: Delta[] = [];
  let prefilled: Prefilled | undefined;
  let finished: Finished | undefined;
  for await (const event of runtime.generate(runtimeRequest, signal)) {
    if (event.case === "prefilled") prefilled = event.value;
    else if (event.case === "finished") finished = event.value;
    else {
      deltas.push(event.value);
      await onDelta?.(event.value);
    }
  }
  if (prefilled === undefined || finished === undefined) throw new Error("the generation had no beginning or no end");
  const joined = (kind: "text" | "reasoning"): string =>
    deltas.map(({ part }) => (part.case === kind ? part.value : "")).join("");
  return { prefilled, deltas, finished, text: joined("text"), reasoning: joined("reasoning") };
}
