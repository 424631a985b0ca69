// Checks a GenerateRequest against the contract; nothing unvalidated goes further into the node.
import type { EmbedRequest, RerankRequest } from "../proto/gen/sluice/inference/v1/embed_pb.js";
import type {
  Constraint,
  GenerateRequest,
  LogprobsOptions,
  Sampling,
  Stopping,
  Thinking,
} from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Priority, Thinking_Effort, Thinking_Mode } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import type { Prompt } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { invalid } from "./node-error.ts";
import { validatePrompt } from "./validate-prompt.ts";

/** Bounds that the contract leaves to the node; lengths are in UTF-16 code units. */
const requestLimits = {
  requestIdChars: 128,
  nameChars: 256,
  stopStrings: 16,
  stopStringChars: 1_024,
  stopTokenIds: 128,
  logitBiases: 1_024,
  choices: 128,
  topLogprobs: 20,
  constraintChars: 262_144,
  streamIntervalMs: 10_000,
  embedInputs: 2_048,
  rerankDocuments: 2_048,
} as const;

/** A request that validateGenerate let through. */
export type ValidRequest = GenerateRequest & { prompt: Prompt };

/** Throws INVALID_ARGUMENT, with `param`, for the first field that is outside the contract. */
export function validateGenerate(request: GenerateRequest): asserts request is ValidRequest {
  validateRequestId(request.requestId);
  if (request.model === "") invalid("model", "must not be empty.");
  validatePrompt(request.prompt);
  if (request.sampling) validateSampling(request.sampling);
  if (request.stopping) validateStopping(request.stopping);
  if (request.constraint) validateConstraint(request.constraint);
  if (request.thinking) validateThinking(request.thinking);
  if (request.logprobs) validateLogprobs(request.logprobs);
  validateChoices(request.choiceCount, request.bestOf);
  boundedName("prefix_cache.salt", request.prefixCache?.salt ?? "");
  boundedName("tenant", request.tenant);
  if (!(request.priority in Priority)) invalid("priority", "is not a known class.");
  streamIntervalMs(request);
}

/** Throws INVALID_ARGUMENT unless the id has 1 to 128 characters. */
export function validateRequestId(requestId: string): void {
  if (requestId === "" || requestId.length > requestLimits.requestIdChars) {
    invalid("request_id", `must have 1 to ${requestLimits.requestIdChars} characters.`);
  }
}

/** The request's stream interval in milliseconds; undefined means one message a step. */
export function streamIntervalMs(request: GenerateRequest): number | undefined {
  const interval = request.streamInterval;
  if (interval === undefined) return undefined;
  const ms = Number(interval.seconds) * 1_000 + interval.nanos / 1e6;
  if (!(ms > 0 && ms <= requestLimits.streamIntervalMs)) {
    invalid("stream_interval", `must be above 0 and at most ${requestLimits.streamIntervalMs} ms.`);
  }
  return ms;
}

function validateSampling(sampling: Sampling): void {
  within("sampling.temperature", sampling.temperature, 0, 2);
  aboveZero("sampling.top_p", sampling.topP, 1);
  within("sampling.min_p", sampling.minP, 0, 1);
  aboveZero("sampling.typical_p", sampling.typicalP, 1);
  within("sampling.presence_penalty", sampling.presencePenalty, -2, 2);
  within("sampling.frequency_penalty", sampling.frequencyPenalty, -2, 2);
  aboveZero("sampling.repetition_penalty", sampling.repetitionPenalty, 2);
  atMost("sampling.logit_bias", sampling.logitBias.length, requestLimits.logitBiases);
  for (const [index, entry] of sampling.logitBias.entries()) {
    within(`sampling.logit_bias[${index}].bias`, entry.bias, -100, 100);
  }
}

function validateStopping(stopping: Stopping): void {
  if (stopping.maxTokens === 0) invalid("stopping.max_tokens", "must be at least 1.");
  atMost("stopping.stop_strings", stopping.stopStrings.length, requestLimits.stopStrings);
  for (const [index, text] of stopping.stopStrings.entries()) {
    if (text === "" || text.length > requestLimits.stopStringChars) {
      invalid(`stopping.stop_strings[${index}]`, `must have 1 to ${requestLimits.stopStringChars} characters.`);
    }
  }
  atMost("stopping.stop_token_ids", stopping.stopTokenIds.length, requestLimits.stopTokenIds);
  if (stopping.maxTokens !== undefined && stopping.minTokens > stopping.maxTokens) {
    invalid("stopping.min_tokens", "must not be above stopping.max_tokens.");
  }
}

function validateConstraint({ kind }: Constraint): void {
  if (kind.case === undefined) invalid("constraint", "must name a kind.");
  if (kind.case === "jsonSchema") sourceText("constraint.json_schema.schema_json", kind.value.schemaJson);
  if (kind.case === "regex") sourceText("constraint.regex", kind.value);
  if (kind.case === "grammar") sourceText("constraint.grammar", kind.value);
}

function validateThinking(thinking: Thinking): void {
  if (!(thinking.mode in Thinking_Mode)) invalid("thinking.mode", "is not a known mode.");
  if (!(thinking.effort in Thinking_Effort)) invalid("thinking.effort", "is not a known effort.");
  if (thinking.mode === Thinking_Mode.DISABLED && thinking.budgetTokens > 0) {
    invalid("thinking.budget_tokens", "must be 0 when thinking is disabled.");
  }
}

function validateLogprobs(logprobs: LogprobsOptions): void {
  atMost("logprobs.top", logprobs.top, requestLimits.topLogprobs);
  if (logprobs.top > 0 && !logprobs.output && !logprobs.prompt) {
    invalid("logprobs.top", "needs logprobs.output or logprobs.prompt.");
  }
}

function validateChoices(choiceCount: number, bestOf: number): void {
  atMost("choice_count", choiceCount, requestLimits.choices);
  atMost("best_of", bestOf, requestLimits.choices);
  if (bestOf > 0 && bestOf < choiceCount) invalid("best_of", "must not be below choice_count.");
}

function within(param: string, value: number | undefined, min: number, max: number): void {
  // Written so that NaN fails too.
  if (value !== undefined && !(value >= min && value <= max)) invalid(param, `must be from ${min} to ${max}.`);
}

function aboveZero(param: string, value: number | undefined, max: number): void {
  if (value !== undefined && !(value > 0 && value <= max)) invalid(param, `must be above 0 and at most ${max}.`);
}

function atMost(param: string, value: number, max: number): void {
  if (value > max) invalid(param, `must be at most ${max}.`);
}

function boundedName(param: string, value: string): void {
  if (value.length > requestLimits.nameChars)
    invalid(param, `must have at most ${requestLimits.nameChars} characters.`);
}

function sourceText(param: string, value: string): void {
  if (value === "" || value.length > requestLimits.constraintChars) {
    invalid(param, `must have 1 to ${requestLimits.constraintChars} characters.`);
  }
}

/** Throws INVALID_ARGUMENT, with `param`, for the first field of an EmbedRequest that is outside the contract. */
export function validateEmbed(request: EmbedRequest): void {
  validateRequestId(request.requestId);
  boundedName("tenant", request.tenant);
  if (request.inputs.length === 0) invalid("inputs", "must have at least one input.");
  atMost("inputs", request.inputs.length, requestLimits.embedInputs);
  for (const [index, { input }] of request.inputs.entries()) {
    const length = input.case === "tokens" ? input.value.ids.length : (input.value?.length ?? 0);
    if (length === 0) invalid(`inputs[${index}]`, "must not be empty.");
  }
}

/** Throws INVALID_ARGUMENT, with `param`, for the first field of a RerankRequest that is outside the contract. */
export function validateRerank({ requestId, tenant, query, documents }: RerankRequest): void {
  validateRequestId(requestId);
  boundedName("tenant", tenant);
  if (query === "") invalid("query", "must not be empty.");
  if (documents.length === 0) invalid("documents", "must have at least one document.");
  atMost("documents", documents.length, requestLimits.rerankDocuments);
  const empty = documents.indexOf("");
  if (empty >= 0) invalid(`documents[${empty}]`, "must not be empty.");
}
