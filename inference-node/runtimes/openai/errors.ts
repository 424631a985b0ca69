// Turns what an engine says when it fails into the node's typed errors.
import type { IncomingHttpHeaders } from "node:http";
import { Code, NodeError } from "../../node-error.ts";
import { countField, field, type JsonObject, listField, objectOf, stringField } from "./json.ts";

/** An engine's failure as it came. */
export interface UpstreamFailure {
  /** HTTP status; of a failure within a stream the one that its body names, else 500. */
  readonly status: number;
  readonly headers?: IncomingHttpHeaders | undefined;
  /** The body as JSON; undefined when it is none. */
  readonly value: unknown;
}

/** Where the failure's message may go: a message about a request holds what its own client sent. */
const messageCharsMax = 500;
const retryAfterMaxMs = 3_600_000;
const retryAfterDefaultMs = 1_000;

/** The status that stands for a failure within a stream, which has none of its own. */
export function failureStatus(value: unknown): number {
  const error = errorObject(value);
  const code = countField(error, "code") ?? Number(stringField(error, "code"));
  if (code >= 400 && code < 600) return code;
  const words = `${stringField(error, "code") ?? ""} ${stringField(error, "type") ?? ""}`;
  if (/rate_limit|insufficient_quota/i.test(words)) return 429;
  if (/context_|invalid_request|BadRequest|unsupported_/i.test(words)) return 400;
  if (/overloaded|unavailable/i.test(words)) return 503;
  if (/timeout/i.test(words)) return 504;
  return 500;
}

/** The NodeError for a failure. The engine's own words are given only where the request is at fault. */
export function upstreamError({ status, headers, value }: UpstreamFailure): NodeError {
  const error = errorObject(value);
  const message = messageOf(value, error);
  switch (status) {
    case 400:
    case 413:
    case 422:
      return requestError(error, message, value);
    case 404:
      return notFound(error, message);
    case 429:
    case 529:
      return busy(Code.RESOURCE_EXHAUSTED, "The engine takes no more requests now.", headers);
    case 408:
    case 502:
    case 503:
    case 504:
      return busy(Code.UNAVAILABLE, "The engine can't answer now.", headers);
    case 405:
    case 501:
      return new NodeError(Code.UNIMPLEMENTED, "The engine behind this model does not do that.", {
        reason: "UNSUPPORTED",
      });
    default:
      return new NodeError(Code.INTERNAL, "The engine failed.", { reason: "UPSTREAM_FAILED" });
  }
}

/** An answer that is not what the API promises. */
export function malformed(what: string): NodeError {
  return new NodeError(Code.INTERNAL, `The engine's answer is malformed: ${what}.`, { reason: "UPSTREAM_MALFORMED" });
}

/** vLLM before 0.10 and TensorRT-LLM put the error's fields at the top. */
function errorObject(value: unknown): JsonObject | undefined {
  const nested = objectOf(field(value, "error"));
  if (nested !== undefined) return nested;
  const whole = objectOf(value);
  return whole?.object === "error" || typeof whole?.message === "string" ? whole : undefined;
}

function messageOf(value: unknown, error: JsonObject | undefined): string {
  const flat = stringField(value, "error") ?? stringField(value, "detail");
  const text = stringField(error, "message") ?? flat ?? fastApiDetail(value) ?? "";
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > messageCharsMax ? `${line.slice(0, messageCharsMax)}…` : line;
}

/** FastAPI's list of what is wrong, without the input that it repeats. */
function fastApiDetail(value: unknown): string | undefined {
  const [first] = listField(value, "detail");
  const place = listField(first, "loc").slice(1).join(".");
  const message = stringField(first, "msg");
  return message && `${place}: ${message}`;
}

function requestError(error: JsonObject | undefined, message: string, value: unknown): NodeError {
  const overflow = contextNumbers(error, message);
  if (overflow !== undefined) return contextError(overflow, message);
  const loc = listField(listField(value, "detail")[0], "loc").slice(1);
  const param = contractPath(stringField(error, "param") ?? loc.join("."));
  const unsupported =
    stringField(error, "code") === "unsupported_parameter" || stringField(error, "code") === "unsupported_value";
  const words = `The engine refused the request${message === "" ? "." : `: ${message}`}`;
  return new NodeError(unsupported ? Code.UNIMPLEMENTED : Code.INVALID_ARGUMENT, words, {
    ...(param !== undefined && { param }),
    reason: unsupported ? "UNSUPPORTED" : "UPSTREAM_REFUSED",
  });
}

interface ContextNumbers {
  contextLength: number | undefined;
  promptTokens: number | undefined;
}

const overflowWords =
  /maximum context length|model's context (?:length|window|has|holds)|available context size|context window|maximum model length|max_num_tokens/i;
const contextNumbersOf = [
  /(?:maximum context length|max_model_len|maximum model length)(?: is| of)?[ =:(]*(\d+)/i,
  /context (?:length|size|window) \((\d+)/i,
  /context (?:has|holds) (\d+)/i,
  /max_num_tokens \((\d+)/i,
];
const promptNumbersOf = [
  /prompt contains (?:at least )?(\d+)/i,
  /\((\d+) in the (?:messages|prompt)/i,
  /(\d+) tokens from the input/i,
  /request has (\d+) input tokens/i,
  /(?:input|request|prompt) \((\d+)(?: tokens)?\)/i,
  /resulted in (\d+) tokens/i,
  /(?:prompt|input|messages) (?:has|have) (?:at least )?(\d+)/i,
  /prompt length \((\d+)/i,
  /requested (?:at least )?(\d+) tokens/i,
];

/** Both numbers of an overflow as far as the engine names them; undefined for another failure. */
function contextNumbers(error: JsonObject | undefined, message: string): ContextNumbers | undefined {
  const code = `${stringField(error, "code") ?? ""} ${stringField(error, "type") ?? ""}`;
  if (!/context_length_exceeded|exceed_context_size/i.test(code) && !overflowWords.test(message)) return undefined;
  return {
    contextLength: countField(error, "n_ctx") ?? firstNumber(contextNumbersOf, message),
    promptTokens: countField(error, "n_prompt_tokens") ?? firstNumber(promptNumbersOf, message),
  };
}

function firstNumber(patterns: readonly RegExp[], text: string): number | undefined {
  const plain = text.replace(/(\d),(?=\d{3})/g, "$1");
  for (const pattern of patterns) {
    const digits = pattern.exec(plain)?.[1];
    if (digits !== undefined) return Number(digits);
  }
  return undefined;
}

function contextError({ contextLength, promptTokens }: ContextNumbers, message: string): NodeError {
  const both = contextLength !== undefined && promptTokens !== undefined;
  const numbers = `The model's context has ${contextLength} tokens and the prompt ${promptTokens}`;
  const sentence = both
    ? `${numbers}${promptTokens < contextLength ? ", which leaves too little room for the answer" : ""}.`
    : `The prompt and the requested output do not fit the model's context${message === "" ? "." : `: ${message}`}`;
  return new NodeError(Code.OUT_OF_RANGE, sentence, {
    param: "prompt",
    reason: "CONTEXT_LENGTH_EXCEEDED",
    metadata: {
      ...(contextLength !== undefined && { context_length: String(contextLength) }),
      ...(promptTokens !== undefined && { prompt_tokens: String(promptTokens) }),
    },
  });
}

function notFound(error: JsonObject | undefined, message: string): NodeError {
  if (error !== undefined && /model/i.test(`${stringField(error, "code") ?? ""} ${message}`)) {
    return new NodeError(Code.NOT_FOUND, "The engine does not have this model any more.", {
      param: "model",
      reason: "MODEL_NOT_FOUND",
    });
  }
  return new NodeError(Code.UNIMPLEMENTED, "The engine behind this model does not do that.", { reason: "UNSUPPORTED" });
}

function busy(code: Code, message: string, headers: IncomingHttpHeaders | undefined): NodeError {
  return new NodeError(code, message, { reason: "UPSTREAM_BUSY", retryAfterMs: retryAfterOf(headers) });
}

/** `retry-after-ms`, else `retry-after` in seconds or as a date (RFC 9110, 10.2.3). */
function retryAfterOf(headers: IncomingHttpHeaders | undefined): number {
  const ms = Number(headers?.["retry-after-ms"]);
  const text = headers?.["retry-after"];
  const seconds = Number(text);
  const date = text === undefined ? Number.NaN : Date.parse(text) - Date.now();
  const found = [ms, seconds * 1_000, date].find((value) => Number.isFinite(value) && value > 0);
  return Math.round(Math.min(retryAfterMaxMs, found ?? retryAfterDefaultMs));
}

const contractPaths: Readonly<Record<string, string>> = {
  model: "model",
  messages: "prompt.chat.messages",
  prompt: "prompt",
  tools: "prompt.chat.tools",
  tool_choice: "prompt.chat.tool_choice",
  parallel_tool_calls: "prompt.chat.parallel_tool_calls",
  max_tokens: "stopping.max_tokens",
  max_completion_tokens: "stopping.max_tokens",
  stop: "stopping.stop_strings",
  stop_token_ids: "stopping.stop_token_ids",
  min_tokens: "stopping.min_tokens",
  ignore_eos: "stopping.ignore_eos",
  temperature: "sampling.temperature",
  top_p: "sampling.top_p",
  top_k: "sampling.top_k",
  min_p: "sampling.min_p",
  typical_p: "sampling.typical_p",
  presence_penalty: "sampling.presence_penalty",
  frequency_penalty: "sampling.frequency_penalty",
  repetition_penalty: "sampling.repetition_penalty",
  repeat_penalty: "sampling.repetition_penalty",
  seed: "sampling.seed",
  logit_bias: "sampling.logit_bias",
  logprobs: "logprobs.output",
  top_logprobs: "logprobs.top",
  response_format: "constraint",
  structured_outputs: "constraint",
  grammar: "constraint.grammar",
  thinking: "thinking.mode",
  reasoning_effort: "thinking.effort",
  n: "choice_count",
  deterministic: "deterministic",
  dimensions: "dimensions",
  input: "inputs",
};

/** Texts of constraints, within which an engine may name a place. */
const nestedPaths = [
  ["response_format.json_schema.schema", "constraint.json_schema.schema_json"],
  ["structured_outputs.regex", "constraint.regex"],
  ["structured_outputs.grammar", "constraint.grammar"],
] as const;

/** The contract's path of a field that the engine names; an index after it is kept. */
export function contractPath(upstreamParam: string): string | undefined {
  const nested = nestedPaths.find(([prefix]) => upstreamParam.startsWith(prefix));
  if (nested !== undefined) return nested[1] + upstreamParam.slice(nested[0].length);
  const [, name = "", index = ""] = /^([a-z_]+)((?:\[\d+\])?)/.exec(upstreamParam) ?? [];
  const path = contractPaths[name];
  return path === undefined ? undefined : path + (name === "messages" || name === "tools" ? index : "");
}
