// Counts and converts tokens by the engine's own tokenizer where it lends it, and by estimate where it does not.
import type { ChatPrompt } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code, NodeError } from "../../node-error.ts";
import { malformed, upstreamError } from "./errors.ts";
import type { Flavor } from "./flavor.ts";
import type { Ask, JsonAnswer } from "./http.ts";
import { countField, type JsonObject, listField, stringField } from "./json.ts";
import { chatFields } from "./messages.ts";

/** Asks the engine below its root; rejects as UpstreamClient does. */
export type AskEngine = (path: string, ask: Pick<Ask, "body" | "signal">) => Promise<JsonAnswer>;

/** A model whose tokens are counted. */
export interface CountedModel {
  readonly flavor: Flavor;
  readonly upstreamId: string;
}

export interface CountedChat {
  readonly count: number;
  /** Empty of an engine that only counts. */
  readonly ids: readonly number[];
}

/** Tokens of a rendered chat, template included. Rejects with UNIMPLEMENTED where the engine lends no tokenizer. */
export async function countChat(
  ask: AskEngine,
  { flavor, upstreamId }: CountedModel,
  chat: ChatPrompt,
  signal: AbortSignal,
  templateVariables?: JsonObject,
): Promise<CountedChat> {
  const { tool_choice: _choice, parallel_tool_calls: _parallel, ...fields } = chatFields(chat, flavor);
  const body = {
    ...fields,
    ...(templateVariables !== undefined && { chat_template_kwargs: templateVariables }),
  };
  if (flavor.name === "llama-server") {
    const rendered = await answered(ask("/apply-template", { body, signal }));
    const content = stringField(rendered, "prompt");
    if (content === undefined) throw malformed("there is no rendered prompt");
    const ids = await llamaTokens(ask, { content, add_special: true, parse_special: true }, signal);
    return { count: ids.length, ids };
  }
  if (flavor.name !== "vllm" && flavor.name !== "sglang") throw noTokenizer();
  const counted = await answered(ask("/tokenize", { body: { model: upstreamId, ...body }, signal }));
  const ids = idsOf(counted, "tokens");
  return { count: countField(counted, "count") ?? ids.length, ids };
}

/** The ids of a text. With `asPrompt` the tokens that begin every prompt come first. */
export async function tokenize(
  ask: AskEngine,
  { flavor, upstreamId }: CountedModel,
  text: string,
  { asPrompt, specialTokens }: { asPrompt: boolean; specialTokens: boolean },
  signal: AbortSignal,
): Promise<number[]> {
  if (flavor.name === "llama-server") {
    return llamaTokens(ask, { content: text, add_special: asPrompt, parse_special: specialTokens }, signal);
  }
  if (flavor.name !== "vllm" && flavor.name !== "sglang") throw noTokenizer();
  const body = { model: upstreamId, prompt: text, add_special_tokens: asPrompt };
  return idsOf(await answered(ask("/tokenize", { body, signal })), "tokens");
}

/** The text of ids. */
export async function detokenize(
  ask: AskEngine,
  { flavor, upstreamId }: CountedModel,
  ids: readonly number[],
  specialTokens: boolean,
  signal: AbortSignal,
): Promise<string> {
  const [field, body] =
    flavor.name === "llama-server"
      ? ["content", { tokens: ids }]
      : flavor.name === "sglang"
        ? ["text", { model: upstreamId, tokens: ids, skip_special_tokens: !specialTokens }]
        : ["prompt", { model: upstreamId, tokens: ids }];
  if (flavor.name !== "llama-server" && flavor.name !== "vllm" && flavor.name !== "sglang") throw noTokenizer();
  const text = stringField(await answered(ask("/detokenize", { body, signal })), field);
  if (text === undefined) throw malformed("there is no text of the tokens");
  return text;
}

/** Asks for what must succeed. */
async function answered(asked: Promise<JsonAnswer>): Promise<unknown> {
  const { status, headers, value } = await asked;
  if (status !== 200) throw upstreamError({ status, headers, value });
  return value;
}

async function llamaTokens(ask: AskEngine, body: JsonObject, signal: AbortSignal): Promise<number[]> {
  return idsOf(await answered(ask("/tokenize", { body, signal })), "tokens");
}

function idsOf(value: unknown, name: string): number[] {
  const list = listField(value, name);
  if (!list.every((id) => Number.isInteger(id) && Number(id) >= 0)) throw malformed("its tokens are no ids");
  return list as number[];
}

export function noTokenizer(): NodeError {
  return new NodeError(Code.UNIMPLEMENTED, "The engine behind this model does not lend its tokenizer.", {
    reason: "UNSUPPORTED",
  });
}

/** About as many tokens as the texts have: four ASCII characters a token, one of other scripts, some for each message. */
export function estimateTokens(texts: readonly string[], messages: number): number {
  let ascii = 0;
  let others = 0;
  for (const text of texts) {
    for (let index = 0; index < text.length; index += 1) {
      if (text.charCodeAt(index) < 128) ascii += 1;
      else others += 1;
    }
  }
  return Math.max(1, Math.ceil(ascii / 4) + others + messages * 4);
}

/** All that a chat has of text. */
export function textsOf({ messages, tools }: ChatPrompt): string[] {
  return [
    ...messages.flatMap(({ content, name, reasoning, toolCalls }) => [
      content,
      name,
      reasoning,
      ...toolCalls.flatMap((call) => [call.name, call.arguments]),
    ]),
    ...tools.flatMap((tool) => [tool.name, tool.description, tool.parametersJson]),
  ];
}
