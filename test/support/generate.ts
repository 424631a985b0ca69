// Runs one generation at the runtime seam and gathers what came of it.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Runtime } from "../../inference-node/runtime.ts";
import {
  type Finished,
  GenerateRequestSchema,
  type Prefilled,
  type TokenLogprob,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { PromptSchema, Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";

export interface Generated {
  text: string;
  logprobs: TokenLogprob[];
  prefilled: Prefilled;
  finished: Finished;
}

export type GenerateRequestInit = Exclude<MessageInitShape<typeof GenerateRequestSchema>, { $typeName: string }>;
export type PromptInit = MessageInitShape<typeof PromptSchema>;
type RequestInit = Partial<
  Pick<
    GenerateRequestInit,
    "sampling" | "stopping" | "logprobs" | "prefixCache" | "deterministic" | "constraint" | "thinking"
  >
>;

/** A chat of one user message. */
export function userPrompt(content: string): PromptInit {
  return { form: { case: "chat", value: { messages: [{ role: Role.USER, content }] } } };
}

/** Token ids as a prompt. */
export function tokenPrompt(ids: readonly number[]): PromptInit {
  return { form: { case: "tokens", value: { ids: [...ids] } } };
}

let requests = 0;

/** Generates at most `maxTokens` tokens; rejects with the generation's NodeError. */
export async function generate(
  runtime: Runtime,
  prompt: PromptInit,
  maxTokens: number,
  init: RequestInit = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Generated> {
  const model = runtime.models()[0]?.id ?? "";
  const request = create(GenerateRequestSchema, { requestId: `test-${++requests}`, model, prompt, ...init });
  const prepared = await runtime.prepare(model, create(PromptSchema, prompt), signal, request.thinking);
  let text = "";
  const logprobs: TokenLogprob[] = [];
  let prefilled: Prefilled | undefined;
  let finished: Finished | undefined;
  for await (const event of runtime.generate({ request, prepared, maxTokens }, signal)) {
    if (event.case === "prefilled") prefilled = event.value;
    else if (event.case === "finished") finished = event.value;
    else {
      if (event.value.part.case === "text") text += event.value.part.value;
      logprobs.push(...event.value.logprobs);
    }
  }
  if (prefilled === undefined || finished === undefined) throw new Error("the generation had no beginning or no end");
  return { text, logprobs, prefilled, finished };
}
