// Reads a script: what the scripted model answers, how slowly, and how it fails.
import { Code, invalid, NodeError } from "../../node-error.ts";
import { arrayOf, booleanOf, integerOf, numberOf, type ObjectReader, readObject, stringOf } from "./json-fields.ts";

/** An alternative at a token's position. */
interface ScriptedAlternative {
  token: string;
  logprob: number;
}

interface ScriptedLogprob {
  logprob: number;
  top: ScriptedAlternative[];
}

export interface ScriptedToolCall {
  id: string | undefined;
  name: string;
  /** JSON text, or whatever the script wants to be sent as such. */
  arguments: string;
}

/** Numbers reported instead of the counted ones. */
interface ScriptedUsage {
  promptTokens: number | undefined;
  cachedTokens: number | undefined;
  completionTokens: number | undefined;
  reasoningTokens: number | undefined;
}

export type ScriptedFinish = "stop" | "length" | "tool_calls" | "content_filter" | "context_length";

export interface Script {
  text: string;
  reasoning: string;
  toolCalls: ScriptedToolCall[];
  /** Pieces that text, reasoning and each call's arguments are cut into; one piece a token when undefined. */
  chunks: number | undefined;
  delayMs: number;
  prefillMs: number;
  /** Deltas before the failure; undefined with `fail` means a refusal before Admitted. */
  failAfter: number | undefined;
  fail: NodeError | undefined;
  /** Of the tokens of text, in order; tokens beyond the list have probability 1. */
  logprobs: ScriptedLogprob[];
  usage: ScriptedUsage;
  finishReason: ScriptedFinish | undefined;
}

/** Bounds of a script, so that one request can't hold a node for ever. */
const scriptLimits = {
  chunks: 100_000,
  delayMs: 60_000,
  prefillMs: 600_000,
  retryAfterMs: 3_600_000,
  toolCalls: 128,
  logprobs: 100_000,
  tokens: 2 ** 31 - 1,
} as const;

const knownKeys = [
  "text",
  "chunks",
  "delay_ms",
  "prefill_ms",
  "fail_after",
  "fail",
  "retry_after_ms",
  "echo",
  "reasoning",
  "tool_calls",
  "logprobs",
  "usage",
  "finish_reason",
];

/** The edge's error codes (its error table) that a node can cause, and the status that causes each. */
const edgeCodes: Record<string, Code> = {
  invalid_request: Code.INVALID_ARGUMENT,
  context_length_exceeded: Code.OUT_OF_RANGE,
  unsupported_parameter: Code.UNIMPLEMENTED,
  not_found: Code.NOT_FOUND,
  overloaded: Code.RESOURCE_EXHAUSTED,
  deadline_exceeded: Code.DEADLINE_EXCEEDED,
  canceled: Code.CANCELLED,
  internal: Code.INTERNAL,
};

const finishes: readonly ScriptedFinish[] = ["stop", "length", "tool_calls", "content_filter", "context_length"];

/**
 * The script that a message is. A message that is no JSON object, or an object with none of the script's keys, is
 * echoed. Throws INVALID_ARGUMENT for a script with an unknown key or a wrong value; `param` names the message's field.
 */
export function parseScript(message: string, param: string): Script {
  const object = parseObject(message);
  if (object === undefined || !knownKeys.some((key) => Object.hasOwn(object, key))) return echoScript(message);
  try {
    return readScript(message, readObject(object, "script", knownKeys));
  } catch (thrown) {
    // Paths within the script are for the message; the contract's field is the whole message.
    const error = NodeError.from(thrown);
    throw new NodeError(error.code, error.message, { param, reason: "INVALID_SCRIPT", cause: error.cause });
  }
}

function readScript(message: string, read: ObjectReader): Script {
  const failAfter = read("fail_after", integerOf(0, scriptLimits.chunks));
  const fail = failureOf(read, failAfter);
  const chunks = read("chunks", integerOf(1, scriptLimits.chunks));
  const reasoning = read("reasoning", stringOf) ?? "";
  const toolCalls = read("tool_calls", arrayOf(scriptLimits.toolCalls, toolCallOf)) ?? [];
  const echo = read("echo", booleanOf) ? message : "";
  const text = read("text", stringOf);
  const bare = text === undefined && echo === "" && reasoning === "" && toolCalls.length === 0;
  return {
    text: bare ? fillerText(message, chunks, failAfter) : echo + (text ?? ""),
    reasoning,
    toolCalls,
    chunks,
    delayMs: read("delay_ms", numberOf(0, scriptLimits.delayMs)) ?? 0,
    prefillMs: read("prefill_ms", numberOf(0, scriptLimits.prefillMs)) ?? 0,
    failAfter,
    fail,
    logprobs: read("logprobs", logprobsOf) ?? [],
    usage: usageOf(read),
    finishReason: read("finish_reason", finishOf),
  };
}

function echoScript(text: string): Script {
  return {
    text,
    reasoning: "",
    toolCalls: [],
    chunks: undefined,
    delayMs: 0,
    prefillMs: 0,
    failAfter: undefined,
    fail: undefined,
    logprobs: [],
    usage: {
      promptTokens: undefined,
      cachedTokens: undefined,
      completionTokens: undefined,
      reasoningTokens: undefined,
    },
    finishReason: undefined,
  };
}

/** A script that says nothing counts to the number of deltas that it asks for, else it is echoed. */
function fillerText(message: string, chunks: number | undefined, failAfter: number | undefined): string {
  const count = chunks ?? failAfter;
  if (count === undefined) return message;
  return Array.from({ length: count }, (_, index) => index + 1).join(" ");
}

function parseObject(message: string): Record<string, unknown> | undefined {
  if (!message.trimStart().startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(message);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A failure without a code is the death of an engine. */
function failureOf(read: ObjectReader, failAfter: number | undefined): NodeError | undefined {
  const retryAfterMs = read("retry_after_ms", numberOf(0, scriptLimits.retryAfterMs));
  const code = read("fail", codeOf) ?? (failAfter === undefined ? undefined : Code.UNAVAILABLE);
  return code === undefined ? undefined : failure(code, retryAfterMs);
}

function failure(code: Code, retryAfterMs: number | undefined): NodeError {
  return new NodeError(code, "The script asked for this failure.", {
    reason: "SCRIPTED",
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function codeOf(value: unknown, path: string): Code {
  const name = stringOf(value, path);
  const code = edgeCodes[name] ?? Object.entries(Code).find(([key]) => key === name.toUpperCase())?.[1];
  if (code !== undefined) return code;
  const names = [...Object.keys(edgeCodes), ...Object.keys(Code)].join(", ");
  return invalid(path, `must be one of ${names}.`);
}

function finishOf(value: unknown, path: string): ScriptedFinish {
  const found = finishes.find((finish) => finish === value);
  return found ?? invalid(path, `must be one of ${finishes.join(", ")}.`);
}

/** `{"name", "arguments"?, "id"?}`, or the same within `"function"`, as OpenAI's clients write it. */
function toolCallOf(value: unknown, path: string): ScriptedToolCall {
  const read = readObject(value, path, ["id", "type", "function", "name", "arguments"]);
  const nested = read("function", (inner, at) => readObject(inner, at, ["name", "arguments"]));
  const fields = nested ?? read;
  const name = fields("name", stringOf);
  if (!name) return invalid(`${path}.name`, "must not be empty.");
  return { id: read("id", stringOf), name, arguments: fields("arguments", argumentsOf) ?? "{}" };
}

/** Arguments as text are sent as they are, right or wrong; an object is sent as its JSON. */
function argumentsOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** `true`, or a list with a number or `{"logprob", "top"?}` for each token. */
function logprobsOf(value: unknown, path: string): ScriptedLogprob[] {
  if (typeof value === "boolean") return [];
  return arrayOf(scriptLimits.logprobs, logprobOf)(value, path);
}

function logprobOf(value: unknown, path: string): ScriptedLogprob {
  const below = numberOf(-1_000_000, 0);
  if (typeof value === "number") return { logprob: below(value, path), top: [] };
  const read = readObject(value, path, ["logprob", "top"]);
  const top = read(
    "top",
    arrayOf(20, (item, at) => {
      const alternative = readObject(item, at, ["token", "logprob"]);
      return { token: alternative("token", stringOf) ?? "", logprob: alternative("logprob", below) ?? 0 };
    }),
  );
  return { logprob: read("logprob", below) ?? 0, top: top ?? [] };
}

function usageOf(read: ObjectReader): ScriptedUsage {
  const keys = ["prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens"];
  const usage = read("usage", (value, path) => readObject(value, path, keys));
  const count = integerOf(0, scriptLimits.tokens);
  return {
    promptTokens: usage?.("prompt_tokens", count),
    cachedTokens: usage?.("cached_tokens", count),
    completionTokens: usage?.("completion_tokens", count),
    reasoningTokens: usage?.("reasoning_tokens", count),
  };
}
