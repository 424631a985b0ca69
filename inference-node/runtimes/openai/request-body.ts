// Translates a request of the contract into the body that an engine takes; what it does not take is refused by name.
import {
  type Constraint,
  type GenerateRequest,
  Priority,
  Thinking_Effort,
  Thinking_Mode,
} from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { invalid } from "../../node-error.ts";
import { budgetFields, type Flavor } from "./flavor.ts";
import { type JsonObject, objectOf, parseJson } from "./json.ts";
import { chatFields, unsupported } from "./messages.ts";
import type { ThinkingSwitch } from "./thinking-probe.ts";

/** What the engine knows a model by, and what was found out about it. */
export interface BodyTarget {
  readonly flavor: Flavor;
  readonly upstreamId: string;
  /** Whether the limit goes by its newer name, as at OpenAI itself. */
  readonly newerLimitName: boolean;
  /** Tokens. */
  readonly contextLength: number;
  /** How the model's template is told whether to reason; undefined when it can't be. */
  readonly thinking: ThinkingSwitch | undefined;
  /** Whether the model knows levels of effort. */
  readonly effort: boolean;
}

export interface UpstreamRequest {
  /** Below the API's path. */
  readonly path: "/chat/completions" | "/completions";
  readonly body: JsonObject;
}

type Put = (name: string, value: unknown, param: string) => void;

/**
 * The request as the engine takes it. `limit` is sent as its bound of tokens, undefined leaves that to the engine;
 * `tokens` replaces a text prompt. Throws UNIMPLEMENTED, with `param`, for the first field that the engine would not honour.
 */
export function upstreamRequest(
  request: GenerateRequest,
  target: BodyTarget,
  { limit, tokens }: { limit: number | undefined; tokens?: readonly number[] | undefined },
): UpstreamRequest {
  const { flavor, upstreamId } = target;
  const form = request.prompt?.form;
  const isChat = form?.case === "chat";
  const known = isChat ? flavor.chat : flavor.completion;
  const body: Record<string, unknown> = { model: upstreamId, stream: true, stream_options: streamOptions(known) };
  const put: Put = (name, value, param) => {
    if (!known.has(name)) unsupported(param, "it has no such parameter");
    body[name] = value;
  };
  if (form?.case === "chat") Object.assign(body, chatFields(form.value, flavor));
  else if (form?.case === "text") body.prompt = tokens ?? form.value;
  else if (form?.case === "tokens") body.prompt = form.value.ids;
  if (known.has("timings_per_token")) body.timings_per_token = true;
  if (limit !== undefined) body[isChat && target.newerLimitName ? "max_completion_tokens" : "max_tokens"] = limit;
  sampling(request, target, known, put);
  stopping(request, flavor, known, put);
  logprobs(request, isChat, known, body);
  thinking(request, target, known, put);
  if (request.constraint !== undefined) constraint(request.constraint, known, put, body);
  choices(request, isChat, put);
  prefixCache(request, known, body);
  // OpenAI's own flex tier costs and means something else.
  if (request.priority === Priority.BATCH && flavor.name === "sluice") body.service_tier = "flex";
  if (request.deterministic) put("deterministic", true, "deterministic");
  if (request.resumable) unsupported("resumable", "its streams can't be taken up again");
  return { path: isChat ? "/chat/completions" : "/completions", body };
}

function streamOptions(known: ReadonlySet<string>): JsonObject {
  return { include_usage: true, ...(known.has("continuous_usage_stats") && { continuous_usage_stats: true }) };
}

function sampling(
  { sampling: given }: GenerateRequest,
  { flavor, contextLength }: BodyTarget,
  known: ReadonlySet<string>,
  put: Put,
): void {
  if (given === undefined) return;
  const set = (name: string, value: unknown, param: string): void => {
    if (value !== undefined) put(name, value, `sampling.${param}`);
  };
  set("temperature", decimal(given.temperature), "temperature");
  set("top_p", decimal(given.topP), "top_p");
  // Off is what an engine without the parameter does anyway.
  if (given.topK !== undefined && (given.topK > 0 || known.has("top_k"))) {
    set("top_k", given.topK === 0 ? flavor.topKAll : given.topK, "top_k");
  }
  if (given.minP !== undefined && (given.minP > 0 || known.has("min_p"))) set("min_p", decimal(given.minP), "min_p");
  if (given.typicalP !== undefined && given.typicalP !== 1) set("typical_p", decimal(given.typicalP), "typical_p");
  set("presence_penalty", decimal(given.presencePenalty), "presence_penalty");
  set("frequency_penalty", decimal(given.frequencyPenalty), "frequency_penalty");
  const repetition = known.has("repeat_penalty") ? "repeat_penalty" : "repetition_penalty";
  if (given.repetitionPenalty !== undefined && (given.repetitionPenalty !== 1 || known.has(repetition))) {
    set(repetition, decimal(given.repetitionPenalty), "repetition_penalty");
  }
  const penalised = given.presencePenalty || given.frequencyPenalty || (given.repetitionPenalty ?? 1) !== 1;
  // Otherwise llama-server looks at the last 64 tokens only.
  if (penalised && known.has("repeat_last_n")) put("repeat_last_n", contextLength, "sampling");
  if (given.seed !== undefined) set("seed", seedOf(given.seed, flavor.seedBits), "seed");
  if (given.logitBias.length === 0) return;
  set("logit_bias", Object.fromEntries(given.logitBias.map(({ tokenId, bias }) => [tokenId, bias])), "logit_bias");
}

/** A float32 of the wire by its shortest decimal: 0.7 and not 0.699999988079071. */
function decimal(value: number | undefined): number | undefined {
  if (value === undefined) return undefined;
  for (let digits = 1; digits < 10; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

/** Both ends of a longer seed count. */
function seedOf(seed: bigint, bits: number): number {
  const width = BigInt(bits);
  return Number((seed ^ (seed >> width)) & ((1n << width) - 1n));
}

function stopping({ stopping: given }: GenerateRequest, flavor: Flavor, known: ReadonlySet<string>, put: Put): void {
  if (given === undefined) return;
  const { stopStrings, stopTokenIds, minTokens, ignoreEos } = given;
  if (stopStrings.length > flavor.stopStringsMax) {
    unsupported("stopping.stop_strings", `it takes at most ${flavor.stopStringsMax}`);
  }
  if (stopStrings.length > 0) put("stop", stopStrings, "stopping.stop_strings");
  // The only way in which llama-server says which of them it was.
  if (stopStrings.length > 0 && known.has("verbose")) put("verbose", true, "stopping.stop_strings");
  if (stopTokenIds.length > 0) put("stop_token_ids", stopTokenIds, "stopping.stop_token_ids");
  if (minTokens > 0) put("min_tokens", minTokens, "stopping.min_tokens");
  if (ignoreEos) put("ignore_eos", true, "stopping.ignore_eos");
}

function logprobs(
  { logprobs: given }: GenerateRequest,
  isChat: boolean,
  known: ReadonlySet<string>,
  body: Record<string, unknown>,
): void {
  if (given?.prompt) unsupported("logprobs.prompt", "it gives none of a prompt in a stream");
  if (!given?.output) return;
  if (!known.has("logprobs")) unsupported("logprobs", "it gives none");
  body.logprobs = isChat ? true : given.top;
  if (isChat) body.top_logprobs = given.top;
}

/** The words for `reasoning_effort`; empty for none. */
export const effortWords: Readonly<Record<Thinking_Effort, string>> = {
  [Thinking_Effort.UNSPECIFIED]: "",
  [Thinking_Effort.LOW]: "low",
  [Thinking_Effort.MEDIUM]: "medium",
  [Thinking_Effort.HIGH]: "high",
  [Thinking_Effort.MAX]: "max",
};

function thinking(
  { thinking: given }: GenerateRequest,
  { flavor, thinking: templateSwitch, effort: knowsEffort }: BodyTarget,
  known: ReadonlySet<string>,
  put: Put,
): void {
  if (given === undefined) return;
  const { mode, effort, budgetTokens } = given;
  const on = mode === Thinking_Mode.ENABLED;
  if (known.has("thinking")) {
    if (mode !== Thinking_Mode.UNSPECIFIED || budgetTokens > 0) {
      const type = mode === Thinking_Mode.DISABLED ? "disabled" : "enabled";
      put("thinking", { type, ...(budgetTokens > 0 && { budget_tokens: budgetTokens }) }, "thinking.mode");
    }
  } else {
    if (mode !== Thinking_Mode.UNSPECIFIED) switchThinking(on, templateSwitch, put);
    const budget = budgetFields.find((name) => known.has(name));
    if (budgetTokens > 0) put(budget ?? "thinking_token_budget", budgetTokens, "thinking.budget_tokens");
  }
  const word = effortWords[effort];
  if (word === "") return;
  if (!knowsEffort) unsupported("thinking.effort", "the model's template knows no levels");
  if (!flavor.efforts.has(word)) unsupported("thinking.effort", `it knows ${[...flavor.efforts].join(", ")}`);
  put("reasoning_effort", word, "thinking.effort");
}

function switchThinking(on: boolean, by: ThinkingSwitch | undefined, put: Put): void {
  if (by === "enable_thinking" || by === "thinking") {
    put("chat_template_kwargs", { [by]: on }, "thinking.mode");
  } else if (by === "effort") {
    // Such a model reasons unless it is told not to.
    if (!on) put("reasoning_effort", "none", "thinking.mode");
  } else if (by !== "always" || !on) {
    unsupported("thinking.mode", "the model's reasoning has no switch");
  }
}

function constraint({ kind }: Constraint, known: ReadonlySet<string>, put: Put, body: Record<string, unknown>): void {
  if (kind.case === "jsonObject") put("response_format", { type: "json_object" }, "constraint.json_object");
  if (kind.case === "jsonSchema") {
    const { name, schemaJson, strict } = kind.value;
    const schema = parseJson(schemaJson);
    if (objectOf(schema) === undefined) invalid("constraint.json_schema.schema_json", "must be a JSON object.");
    const wrapped = { name: name || "answer", schema, ...(strict && { strict }) };
    const bare = !known.has("response_format") && known.has("json_schema");
    if (bare) put("json_schema", schema, "constraint.json_schema");
    else put("response_format", { type: "json_schema", json_schema: wrapped }, "constraint.json_schema");
  }
  if (kind.case === "regex") Object.assign(body, textual(kind.value, "regex", known));
  if (kind.case === "grammar") Object.assign(body, textual(kind.value, "grammar", known));
}

/** A regular expression or a grammar, under the name that the engine has for it. */
function textual(text: string, kind: "regex" | "grammar", known: ReadonlySet<string>): JsonObject {
  if (known.has("structured_outputs")) return { structured_outputs: { [kind]: text } };
  if (known.has(`guided_${kind}`)) return { [`guided_${kind}`]: text };
  const name = kind === "regex" ? "regex" : "ebnf";
  if (known.has(name)) return { [name]: text };
  if (kind === "grammar" && known.has("grammar")) return { grammar: text };
  if (known.has("response_format.regex")) return { response_format: { type: name, [name]: text } };
  return unsupported(`constraint.${kind}`, "it holds answers to JSON only");
}

function choices({ choiceCount, bestOf, echo, prompt }: GenerateRequest, isChat: boolean, put: Put): void {
  if (choiceCount > 1) put("n", choiceCount, "choice_count");
  if (bestOf > Math.max(1, choiceCount)) unsupported("best_of", "it streams every answer that it samples");
  if (echo && (isChat || prompt?.form.case !== "text")) unsupported("echo", "only a text can be given back");
}

/** Engines without salts share prefixes between all that ask them: docs/node.md says so. */
function prefixCache(
  { prefixCache: given, requestId }: GenerateRequest,
  known: ReadonlySet<string>,
  body: Record<string, unknown>,
): void {
  if (given === undefined) return;
  if (known.has("cache_salt")) {
    // A salt of one's own shares with nobody.
    const salt = given.disabled ? `sluice-once-${requestId}` : given.salt;
    if (salt !== "") body.cache_salt = salt;
  } else if (given.disabled) {
    if (!known.has("cache_prompt")) unsupported("prefix_cache.disabled", "it reuses prefixes as it likes");
    body.cache_prompt = false;
  }
}
