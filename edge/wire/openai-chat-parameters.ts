// What becomes of every parameter of a chat completion, as data: honoured, ignored or refused. Documentation is made of it.
import { ApiError } from "../errors.ts";

export type ChatParameter =
  /**
   * Does what the vendors' documentation says. `contract` is the field it sets, by which the node's refusals name it;
   * `only` are the values that are supported, if not all are.
   */
  | { verdict: "honoured"; contract?: readonly string[]; note?: string; only?: readonly unknown[] }
  /** Accepted without effect, because it changes nothing about the answer. */
  | { verdict: "ignored"; note: string; only?: readonly unknown[] }
  /** 400 `unsupported_parameter`. */
  | { verdict: "refused"; note: string };

/** Every parameter of OpenAI's chat API and the extensions that DeepSeek and vLLM made common. */
export const CHAT_PARAMETERS: Readonly<Record<string, ChatParameter>> = {
  model: { verdict: "honoured", contract: ["model"] },
  messages: { verdict: "honoured", contract: ["prompt.chat.messages", "prompt.chat", "prompt"] },
  stream: { verdict: "honoured" },
  stream_options: { verdict: "honoured", note: "`include_usage`; `include_obfuscation` has no effect" },
  max_completion_tokens: { verdict: "honoured", contract: ["stopping.max_tokens"], note: "reasoning included" },
  max_tokens: { verdict: "honoured", contract: ["stopping.max_tokens"], note: "the same as max_completion_tokens" },
  temperature: { verdict: "honoured", contract: ["sampling.temperature"] },
  top_p: { verdict: "honoured", contract: ["sampling.top_p"] },
  top_k: { verdict: "honoured", contract: ["sampling.top_k"], note: "0 or -1 is all" },
  min_p: { verdict: "honoured", contract: ["sampling.min_p"] },
  typical_p: { verdict: "honoured", contract: ["sampling.typical_p"] },
  presence_penalty: { verdict: "honoured", contract: ["sampling.presence_penalty"] },
  frequency_penalty: { verdict: "honoured", contract: ["sampling.frequency_penalty"] },
  repetition_penalty: { verdict: "honoured", contract: ["sampling.repetition_penalty"] },
  seed: { verdict: "honoured", contract: ["sampling.seed"] },
  deterministic: {
    verdict: "honoured",
    contract: ["deterministic"],
    note: "an extension: with a seed, the same text under any load; slower, and no prompt is reused",
  },
  logit_bias: { verdict: "honoured", contract: ["sampling.logit_bias"] },
  stop: { verdict: "honoured", contract: ["stopping.stop_strings"], note: "up to 16" },
  stop_token_ids: { verdict: "honoured", contract: ["stopping.stop_token_ids"] },
  min_tokens: { verdict: "honoured", contract: ["stopping.min_tokens"] },
  ignore_eos: { verdict: "honoured", contract: ["stopping.ignore_eos"] },
  n: { verdict: "honoured", contract: ["choice_count"] },
  logprobs: { verdict: "honoured", contract: ["logprobs.output", "logprobs"] },
  top_logprobs: { verdict: "honoured", contract: ["logprobs.top"] },
  tools: { verdict: "honoured", contract: ["prompt.chat.tools"], note: "functions" },
  tool_choice: { verdict: "honoured", contract: ["prompt.chat.tool_choice"] },
  parallel_tool_calls: { verdict: "honoured", contract: ["prompt.chat.parallel_tool_calls"] },
  response_format: {
    verdict: "honoured",
    contract: ["constraint"],
    note: "`json_object` (with a `schema` as llama.cpp has it) and `json_schema`; docs/structured-output.md says which",
  },
  guided_json: { verdict: "honoured", contract: ["constraint"], note: "vLLM's way to give a schema" },
  guided_regex: { verdict: "honoured", contract: ["constraint"], note: "vLLM's; anchored at both ends" },
  guided_choice: { verdict: "honoured", contract: ["constraint"], note: "vLLM's; the output is one of these texts" },
  guided_grammar: { verdict: "honoured", contract: ["constraint"], note: "vLLM's; GBNF" },
  structured_outputs: { verdict: "honoured", contract: ["constraint"], note: "vLLM's newer name for all of these" },
  json_schema: { verdict: "honoured", contract: ["constraint"], note: "llama.cpp's way to give a schema" },
  grammar: { verdict: "honoured", contract: ["constraint"], note: "llama.cpp's; GBNF" },
  thinking: { verdict: "honoured", contract: ["thinking.mode", "thinking.budget_tokens", "thinking"] },
  reasoning_effort: {
    verdict: "honoured",
    contract: ["thinking.effort", "thinking"],
    note: "`none` turns thinking off",
  },

  service_tier: {
    verdict: "honoured",
    contract: ["priority"],
    note: "`flex` yields to other work; there is no tier beside it and `default`",
    only: ["auto", "default", "flex"],
  },

  user: { verdict: "ignored", note: "a label" },
  user_id: { verdict: "ignored", note: "a label" },
  safety_identifier: { verdict: "ignored", note: "a label" },
  metadata: { verdict: "ignored", note: "a label" },
  store: { verdict: "ignored", note: "completions are not stored", only: [false] },
  verbosity: { verdict: "ignored", note: "the model's own", only: ["medium"] },
  modalities: { verdict: "ignored", note: "text only", only: ["text"] },
  prompt_cache_key: { verdict: "ignored", note: "prefixes are found without it" },
  prompt_cache_options: { verdict: "ignored", note: "prefixes are found without it" },
  prompt_cache_retention: { verdict: "ignored", note: "prefixes are kept as memory allows" },

  audio: { verdict: "refused", note: "text only" },
  prediction: { verdict: "refused", note: "predicted outputs are not taken" },
  web_search_options: { verdict: "refused", note: "there is no web search" },
  moderation: { verdict: "refused", note: "there is no moderation" },
  functions: { verdict: "refused", note: "use `tools`" },
  function_call: { verdict: "refused", note: "use `tool_choice`" },
};

/**
 * Sorts a body's parameters: gives back the ones to honour, without those that are null (null is absent, as OpenAI has
 * it), and the names that are in no API.
 *
 * @throws ApiError `unsupported_parameter` for a refused one, or a value of it that is not supported.
 */
export function sortParameters(body: Record<string, unknown>): { given: Record<string, unknown>; unknown: string[] } {
  const given: Record<string, unknown> = {};
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    const parameter = Object.hasOwn(CHAT_PARAMETERS, name) ? CHAT_PARAMETERS[name] : undefined;
    if (parameter === undefined) unknown.push(name);
    else if (parameter.verdict === "refused" || !isAmong(parameter.only, value))
      throw unsupported(name, parameter.note);
    else if (parameter.verdict === "honoured") given[name] = value;
  }
  return { given, unknown };
}

/**
 * The client's name of what the node calls by a path of the contract; undefined when no parameter sets it.
 * An index is kept: `prompt.chat.messages[2].content` is `messages[2].content`.
 */
export function chatParamOf(contractPath: string, given: ReadonlySet<string>): string | undefined {
  const candidates = Object.entries(CHAT_PARAMETERS).flatMap(([name, parameter]) => {
    const fields = parameter.verdict === "honoured" ? (parameter.contract ?? []) : [];
    return fields.filter((field) => isWithin(contractPath, field)).map((field) => ({ name, field }));
  });
  // The longest field says most; of two names for one field, the one that the client used.
  candidates.sort((a, b) => b.field.length - a.field.length || Number(given.has(b.name)) - Number(given.has(a.name)));
  const [best] = candidates;
  if (best === undefined) return undefined;
  const rest = contractPath.slice(best.field.length);
  return rest.startsWith("[") ? best.name + (NESTED[best.name]?.(rest) ?? "") : best.name;
}

/** How OpenAI nests what the contract keeps flat; other parameters are named whole. */
const NESTED: Readonly<Record<string, (rest: string) => string>> = {
  messages: (rest) =>
    rest.replace(/(\.tool_calls\[\d+\])\./, "$1.function.").replace(/\.reasoning$/, ".reasoning_content"),
  tools: (rest) => rest.replace(/^(\[\d+\]\.parameters)_json(?=$|[.[])/, "$1").replace(/^(\[\d+\])\./, "$1.function."),
};

function isWithin(path: string, field: string): boolean {
  return path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`);
}

function isAmong(allowed: readonly unknown[] | undefined, value: unknown): boolean {
  if (allowed === undefined) return true;
  const values = Array.isArray(value) ? value : [value];
  return values.every((one) => allowed.includes(one));
}

function unsupported(name: string, note = "not with this value"): ApiError {
  return new ApiError("unsupported_parameter", `\`${name}\` is not supported: ${note}.`, { param: name });
}
