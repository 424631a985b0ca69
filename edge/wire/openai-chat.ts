// A chat completion request, read from OpenAI's dialect into the contract.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  GenerateRequestSchema,
  Priority,
  type SamplingSchema,
  type StoppingSchema,
  Thinking_Effort,
  Thinking_Mode,
  type ThinkingSchema,
} from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ApiError } from "../errors.ts";
import type { CallContext, DialectCall } from "./dialect.ts";
import { type ChatConstraint, constraintOf, constraintParamOf } from "./openai-chat-constraint.ts";
import { messagesOf } from "./openai-chat-messages.ts";
import { chatParamOf, sortParameters } from "./openai-chat-parameters.ts";
import { ChatBodyWriter, ChatStreamWriter } from "./openai-chat-response.ts";
import { type ChatBody, chatRequestSchema } from "./openai-chat-schema.ts";
import { toolChoiceOf, toolsOf } from "./openai-chat-tools.ts";
import { checked } from "./validation.ts";

/** The smallest nucleus that a model takes; OpenAI's top_p 0 means the likeliest token alone, and so does this. */
const TOP_P_MIN = 1e-9;

const EFFORTS = {
  minimal: Thinking_Effort.LOW,
  low: Thinking_Effort.LOW,
  medium: Thinking_Effort.MEDIUM,
  high: Thinking_Effort.HIGH,
  xhigh: Thinking_Effort.HIGH,
  max: Thinking_Effort.MAX,
  ultra: Thinking_Effort.MAX,
} as const;

/**
 * Reads the body of `POST /v1/chat/completions`.
 *
 * @throws ApiError `invalid_request` or `unsupported_parameter`, with the parameter's name.
 */
export function readChatCompletion(raw: Record<string, unknown>, context: CallContext): DialectCall {
  const { given, unknown } = sortParameters(raw);
  const body = checked(chatRequestSchema, given);
  checkCombinations(body);
  const constraint = constraintOf(body);
  const request = requestOf(body, constraint?.constraint, context);
  const names = new Set(Object.keys(given));
  const head = {
    id: `chatcmpl-${context.requestId.replace(/^req_/, "")}`,
    created: Math.floor(context.now / 1000),
    model: body.model,
    logprobs: body.logprobs === true,
    serviceTier: serviceTierOf(body),
  };
  return {
    request,
    stream: body.stream,
    ignored: unknown,
    paramOf: (path) =>
      constraint !== undefined && path.startsWith("constraint")
        ? constraintParamOf(path, constraint)
        : chatParamOf(path, names),
    streamWriter: () => new ChatStreamWriter({ ...head, includeUsage: body.stream_options?.include_usage === true }),
    bodyWriter: () => new ChatBodyWriter(head),
  };
}

function checkCombinations(body: ChatBody): void {
  if (body.stream_options !== undefined && !body.stream) {
    throw invalid("stream_options", "`stream_options` needs `stream` to be true.");
  }
  const { max_tokens: older, max_completion_tokens: newer } = body;
  if (older !== undefined && newer !== undefined && older !== newer) {
    throw invalid("max_tokens", "`max_tokens` and `max_completion_tokens` mean the same and must not differ.");
  }
  if ((body.top_logprobs ?? 0) > 0 && body.logprobs !== true) {
    throw invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true.");
  }
  if (body.reasoning_effort === "none" && body.thinking?.type === "enabled") {
    throw invalid("reasoning_effort", "`reasoning_effort` none contradicts `thinking` enabled.");
  }
}

function requestOf(body: ChatBody, constraint: ChatConstraint["constraint"] | undefined, context: CallContext) {
  const thinking = thinkingOf(body);
  const tools = toolsOf(body.tools ?? []);
  const toolChoice = toolChoiceOf(body.tool_choice, tools);
  const { messages, continueFinalMessage } = messagesOf(body.messages);
  return create(GenerateRequestSchema, {
    requestId: context.requestId,
    model: body.model,
    prompt: {
      form: {
        case: "chat",
        value: {
          messages,
          continueFinalMessage,
          tools,
          ...(toolChoice === undefined ? {} : { toolChoice }),
          ...(body.parallel_tool_calls === undefined ? {} : { parallelToolCalls: body.parallel_tool_calls }),
        },
      },
    },
    sampling: samplingOf(body),
    stopping: stoppingOf(body),
    ...(constraint === undefined ? {} : { constraint }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(body.logprobs === true ? { logprobs: { output: true, top: body.top_logprobs ?? 0 } } : {}),
    choiceCount: body.n ?? 1,
    deterministic: body.deterministic ?? false,
    prefixCache: { salt: context.projectId },
    priority: body.service_tier === "flex" ? Priority.BATCH : Priority.INTERACTIVE,
    tenant: context.tenant,
  });
}

/** The tier that serves the request, for those that asked; OpenAI leaves it out otherwise. */
function serviceTierOf({ service_tier: asked }: ChatBody): "default" | "flex" | undefined {
  return asked === "auto" ? "default" : asked;
}

function samplingOf(body: ChatBody): MessageInitShape<typeof SamplingSchema> {
  return defined({
    temperature: body.temperature,
    topP: body.top_p === undefined ? undefined : Math.max(body.top_p, TOP_P_MIN),
    topK: body.top_k === undefined ? undefined : Math.max(body.top_k, 0),
    minP: body.min_p,
    typicalP: body.typical_p,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    repetitionPenalty: body.repetition_penalty,
    seed: body.seed === undefined ? undefined : BigInt.asUintN(64, BigInt(body.seed)),
    logitBias: Object.entries(body.logit_bias ?? {}).map(([id, bias]) => ({ tokenId: Number(id), bias })),
  });
}

function stoppingOf(body: ChatBody): MessageInitShape<typeof StoppingSchema> {
  return defined({
    maxTokens: body.max_completion_tokens ?? body.max_tokens,
    stopStrings: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
    stopTokenIds: body.stop_token_ids ?? [],
    minTokens: body.min_tokens ?? 0,
    ignoreEos: body.ignore_eos ?? false,
  });
}

function thinkingOf(body: ChatBody): MessageInitShape<typeof ThinkingSchema> | undefined {
  const { thinking, reasoning_effort: effort } = body;
  if (thinking === undefined && effort === undefined) return undefined;
  const off = thinking?.type === "disabled" || effort === "none";
  if (off) return { mode: Thinking_Mode.DISABLED };
  return {
    mode: thinking === undefined ? Thinking_Mode.UNSPECIFIED : Thinking_Mode.ENABLED,
    effort: effort === undefined ? Thinking_Effort.UNSPECIFIED : EFFORTS[effort],
    budgetTokens: thinking?.budget_tokens ?? 0,
  };
}

/** Without the keys whose value is undefined, which `exactOptionalPropertyTypes` tells apart from absent ones. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

function invalid(param: string, message: string): ApiError {
  return new ApiError("invalid_request", message, { param });
}
