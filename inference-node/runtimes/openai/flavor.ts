// What each kind of engine is known to take, so that no parameter is sent to one that would drop it in silence.
import type { RequestFeature } from "../../request-features.ts";

export const FLAVORS = ["openai", "vllm", "llama-server", "sglang", "tensorrt-llm", "sluice"] as const;
export type FlavorName = (typeof FLAVORS)[number];

/** One engine's dialect of the API. */
export interface Flavor {
  readonly name: FlavorName;
  /** Fields of a chat completion that the engine takes. */
  readonly chat: ReadonlySet<string>;
  /** Fields of a text completion; empty when the engine has no such endpoint. */
  readonly completion: ReadonlySet<string>;
  /** Most stop strings. */
  readonly stopStringsMax: number;
  /** What top_k is called when all tokens may be chosen. */
  readonly topKAll: number;
  /** Bits of a seed that survive JSON and the engine. */
  readonly seedBits: 32 | 53;
  /** Prompts are token ids too. */
  readonly takesTokens: boolean;
  /** Levels of `reasoning_effort`. */
  readonly efforts: ReadonlySet<string>;
  /** Path below the root that answers 200 when work is taken; undefined asks for the models. */
  readonly healthPath: string | undefined;
  /** Names of the gauges of its metrics; undefined when it has none. */
  readonly gauges: { readonly running: string; readonly waiting: string } | undefined;
  /** Requests at once when neither the operator nor the engine says. */
  readonly sequences: number;
}

const openai = [
  "temperature",
  "top_p",
  "presence_penalty",
  "frequency_penalty",
  "seed",
  "stop",
  "n",
  "logit_bias",
  "max_tokens",
];
const openaiChat = [
  ...openai,
  "max_completion_tokens",
  "logprobs",
  "top_logprobs",
  "response_format",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "reasoning_effort",
];
const openaiCompletion = [...openai, "logprobs"];
const common = [
  "top_k",
  "min_p",
  "repetition_penalty",
  "stop_token_ids",
  "min_tokens",
  "ignore_eos",
  "continuous_usage_stats",
];
const vllm = [...common, "structured_outputs", "cache_salt", "response_format"];
const templated = ["chat_template_kwargs", "continue_final_message", "add_generation_prompt"];
const sglang = [...common, "regex", "ebnf", "response_format"];
const tensorrt = [...common, "response_format"].filter((name) => name !== "continuous_usage_stats");
const llamaServer = [
  "top_k",
  "min_p",
  "typical_p",
  "repeat_penalty",
  "repeat_last_n",
  "ignore_eos",
  "grammar",
  "cache_prompt",
  "timings_per_token",
  "verbose",
];
const sluice = [
  "top_k",
  "min_p",
  "typical_p",
  "repetition_penalty",
  "stop_token_ids",
  "min_tokens",
  "ignore_eos",
  "structured_outputs",
  "thinking",
  "prefix",
  "deterministic",
  "service_tier",
];

const threeEfforts: ReadonlySet<string> = new Set(["low", "medium", "high"]);
const allEfforts: ReadonlySet<string> = new Set(["low", "medium", "high", "max"]);
const many = Number.POSITIVE_INFINITY;

/**
 * The parameters as the engines' sources have them in autumn 2026 (vllm/entrypoints/openai, tools/server of llama.cpp,
 * sglang/srt/entrypoints/openai, tensorrt_llm/serve). An engine that describes its own API narrows or widens its row.
 */
const rows: Readonly<Record<FlavorName, Omit<Flavor, "name">>> = {
  openai: {
    chat: new Set(openaiChat),
    completion: new Set(openaiCompletion),
    stopStringsMax: 4,
    topKAll: 0,
    seedBits: 53,
    takesTokens: true,
    efforts: threeEfforts,
    healthPath: undefined,
    gauges: undefined,
    sequences: 64,
  },
  vllm: {
    chat: new Set([...openaiChat, ...vllm, ...templated]),
    completion: new Set([...openaiCompletion, ...vllm]),
    stopStringsMax: many,
    topKAll: -1,
    seedBits: 53,
    takesTokens: true,
    efforts: allEfforts,
    healthPath: "/health",
    gauges: { running: "vllm:num_requests_running", waiting: "vllm:num_requests_waiting" },
    sequences: 256,
  },
  "llama-server": {
    chat: new Set([...openaiChat, ...llamaServer, ...templated, "thinking_budget_tokens"]),
    completion: new Set([...openaiCompletion, ...llamaServer, "json_schema"]),
    stopStringsMax: many,
    topKAll: 0,
    seedBits: 32,
    takesTokens: true,
    efforts: allEfforts,
    healthPath: "/health",
    gauges: { running: "llamacpp:requests_processing", waiting: "llamacpp:requests_deferred" },
    sequences: 4,
  },
  sglang: {
    chat: new Set([...openaiChat, ...sglang, "chat_template_kwargs", "continue_final_message"]),
    completion: new Set([...openaiCompletion, ...sglang]),
    stopStringsMax: many,
    topKAll: -1,
    seedBits: 53,
    takesTokens: true,
    efforts: allEfforts,
    healthPath: "/health",
    gauges: { running: "sglang:num_running_reqs", waiting: "sglang:num_queue_reqs" },
    sequences: 256,
  },
  "tensorrt-llm": {
    chat: new Set([...openaiChat, ...tensorrt, "chat_template_kwargs", "response_format.regex"]),
    completion: new Set([...openaiCompletion, ...tensorrt, "response_format.regex"]),
    stopStringsMax: many,
    topKAll: 0,
    seedBits: 53,
    takesTokens: true,
    efforts: threeEfforts,
    healthPath: "/health",
    gauges: undefined,
    sequences: 256,
  },
  sluice: {
    chat: new Set([...openaiChat, ...sluice]),
    completion: new Set(),
    stopStringsMax: 16,
    topKAll: -1,
    seedBits: 53,
    takesTokens: false,
    efforts: allEfforts,
    healthPath: "/readyz",
    gauges: undefined,
    sequences: 64,
  },
};

/** What an engine says of its own API, where it does. */
export interface DescribedApi {
  readonly chat: ReadonlySet<string>;
  readonly completion: ReadonlySet<string>;
}

/** Names that no description has: kinds of a field. */
const derived = new Set(["response_format.regex"]);

/** An engine's flavour; its own description of its API, if it has one, decides what it takes. */
export function flavorOf(name: FlavorName, described?: DescribedApi): Flavor {
  const row = rows[name];
  if (described === undefined) return { name, ...row };
  const told = (own: ReadonlySet<string>, known: ReadonlySet<string>): ReadonlySet<string> =>
    new Set(own.size === 0 ? [] : [...own, ...[...known].filter((one) => derived.has(one))]);
  return { name, ...row, chat: told(described.chat, row.chat), completion: told(described.completion, row.completion) };
}

/** The features that the node may let through to an engine; `check` of the runtime refuses the rest by name. */
export function featuresOf({ chat, completion, takesTokens }: Flavor): ReadonlySet<RequestFeature> {
  const either = (name: string): boolean => chat.has(name) || completion.has(name);
  const rowsOfFeatures: [RequestFeature, boolean][] = [
    ["choice_count", either("n")],
    ["best_of", either("n")],
    ["deterministic", either("deterministic")],
    ["echo", completion.size > 0],
    ["sampling.typical_p", either("typical_p")],
    ["sampling.logit_bias", either("logit_bias")],
    ["stopping.stop_token_ids", either("stop_token_ids")],
    ["stopping.min_tokens", either("min_tokens")],
    ["stopping.ignore_eos", either("ignore_eos")],
    ["thinking.budget_tokens", budgetFields.some(either)],
    ["prompt.text", completion.size > 0],
    ["prompt.tokens", completion.size > 0 && takesTokens],
    ["prompt.chat.continue_final_message", chat.has("continue_final_message") || chat.has("prefix")],
  ];
  return new Set(rowsOfFeatures.flatMap(([feature, honoured]) => (honoured ? [feature] : [])));
}

/** Fields that bound the tokens of reasoning; `thinking` is DeepSeek's and Sluice's object. */
export const budgetFields = ["thinking_token_budget", "thinking_budget_tokens", "thinking"] as const;
