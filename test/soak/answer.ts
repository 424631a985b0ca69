// Reads whole answers, streamed or not, into one shape, and says what in them does not fit what was asked.
import { z } from "zod";
import { faultOf, type Schema } from "./schema-check.ts";

const tokenShape = z.object({
  token: z.string(),
  logprob: z.number().max(0),
  bytes: z.array(z.int().min(0).max(255)).nullable(),
  top_logprobs: z.array(z.object({ token: z.string(), logprob: z.number() })),
});
const logprobsShape = z.object({ content: z.array(tokenShape).nullable() }).nullable();
/** The later pieces of a streamed call have no name. */
const callShape = z.object({ name: z.string().default(""), arguments: z.string() });
const usageShape = z.object({
  prompt_tokens: z.int().min(1),
  completion_tokens: z.int().min(0),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int().min(0) }),
});
const finishShape = z.enum(["stop", "length", "tool_calls"]);
const errorShape = z.strictObject({
  error: z.strictObject({
    message: z.string().min(1),
    type: z.string().min(1),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});
const bodyShape = z.object({
  object: z.literal("chat.completion"),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal("assistant"),
        content: z.string().nullable(),
        tool_calls: z.array(z.object({ id: z.string().min(1), function: callShape })).optional(),
      }),
      logprobs: logprobsShape,
      finish_reason: finishShape,
    }),
  ),
  usage: usageShape,
});
const chunkShape = z.object({
  object: z.literal("chat.completion.chunk"),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: z.object({
        content: z.string().optional(),
        tool_calls: z.array(z.object({ index: z.int(), function: callShape })).optional(),
      }),
      logprobs: logprobsShape,
      finish_reason: finishShape.nullable(),
    }),
  ),
  usage: usageShape.nullish(),
});

type Token = z.output<typeof tokenShape>;

export interface Choice {
  text: string;
  calls: { name: string; arguments: string }[];
  tokens: Token[];
  finish: z.output<typeof finishShape> | undefined;
}

export interface Answer {
  readonly choices: readonly Choice[];
  readonly usage: z.output<typeof usageShape>;
}

/** An error body as every end in an error has it; undefined when the text is none. */
export function readError(value: unknown): { readonly code: string | null; readonly type: string } | undefined {
  return errorShape.safeParse(value).data?.error;
}

/** The answer in a body that is no stream. Throws where it is not of the right shape. */
export function readBody(value: unknown): Answer {
  const { choices, usage } = bodyShape.parse(value);
  const inOrder = choices.toSorted((a, b) => a.index - b.index);
  if (inOrder.some(({ index }, place) => index !== place)) throw new Error("the choices are not counted from 0");
  return {
    usage,
    choices: inOrder.map(({ message, logprobs, finish_reason: finish }) => ({
      text: message.content ?? "",
      calls: (message.tool_calls ?? []).map((call) => call.function),
      tokens: logprobs?.content ?? [],
      finish,
    })),
  };
}

/** The answer in the events of a stream, all but `[DONE]`. Throws where they make none. */
export function readChunks(events: readonly unknown[]): Answer {
  const choices: Choice[] = [];
  let usage: Answer["usage"] | undefined;
  for (const event of events) {
    const chunk = chunkShape.parse(event);
    for (const piece of chunk.choices) addPiece(choices, piece);
    if (chunk.usage && usage) throw new Error("the stream has two usages");
    usage ??= chunk.usage ?? undefined;
  }
  if (usage === undefined) throw new Error("the stream has no usage");
  return { choices, usage };
}

type Piece = z.output<typeof chunkShape>["choices"][number];

function addPiece(choices: Choice[], { index, delta, logprobs, finish_reason: finish }: Piece): void {
  if (index > choices.length + 127) throw new Error(`the stream has a choice ${index}`);
  while (choices.length <= index) choices.push({ text: "", calls: [], tokens: [], finish: undefined });
  const choice = choices[index] as Choice;
  if (choice.finish !== undefined) throw new Error(`choice ${index} goes on after its end`);
  choice.text += delta.content ?? "";
  choice.tokens.push(...(logprobs?.content ?? []));
  for (const { index: place, function: call } of delta.tool_calls ?? []) {
    const known = choice.calls[place];
    if (known === undefined) choice.calls[place] = { ...call };
    else known.arguments += call.arguments;
  }
  choice.finish = finish ?? undefined;
}

/** The members of a request by which its answer is judged. */
interface Asked {
  readonly n?: number;
  readonly max_tokens?: number;
  readonly min_tokens?: number;
  readonly stop?: string | readonly string[];
  readonly logprobs?: boolean;
  readonly top_logprobs?: number;
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly schema: Schema } };
  readonly tools?: readonly { readonly function: { readonly name: string; readonly parameters: Schema } }[];
}

/** What is wrong with a whole answer to this request; undefined when nothing is. */
export function faultOfAnswer(body: Readonly<Record<string, unknown>>, answer: Answer): string | undefined {
  const asked: Asked = body;
  const count = asked.n ?? 1;
  if (answer.choices.length !== count) return `has ${answer.choices.length} choices of ${count}`;
  return faultOfUsage(asked, answer) ?? answer.choices.map((choice) => faultOfChoice(asked, choice)).find(Boolean);
}

/** Whether an answer's document or call was cut by its token limit, and is no document therefore. */
export function isCut({ choices }: Answer): boolean {
  return choices.some(({ finish }) => finish === "length");
}

function faultOfUsage({ n = 1, max_tokens: max, min_tokens: min = 0 }: Asked, { usage, choices }: Answer) {
  const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = usage;
  if (total !== prompt + completion) return `counts ${prompt} + ${completion} tokens as ${total}`;
  if (usage.prompt_tokens_details.cached_tokens > prompt) return "has more cached tokens than prompt tokens";
  if (max !== undefined && completion > n * max) return `has ${completion} tokens of at most ${n} x ${max}`;
  if (completion < n * min) return `has ${completion} tokens of at least ${n} x ${min}`;
  const cut = max !== undefined && choices.every(({ finish }) => finish === "length");
  return cut && completion !== n * max ? `ended by length after ${completion} tokens of ${n} x ${max}` : undefined;
}

function faultOfChoice(asked: Asked, choice: Choice): string | undefined {
  if (choice.finish === undefined) return "has a choice without a finish reason";
  const leaked = [asked.stop ?? []].flat().find((stop) => choice.text.includes(stop));
  if (leaked !== undefined) return `holds its stop string ${JSON.stringify(leaked)}`;
  if (asked.logprobs === true) return faultOfTokens(asked, choice);
  if (choice.finish === "length") return undefined;
  if (asked.tools !== undefined) return faultOfCalls(asked.tools, choice);
  const format = asked.response_format;
  return format === undefined
    ? undefined
    : faultOfDocument(choice.text, format.json_schema?.schema ?? { type: "object" });
}

function faultOfTokens({ top_logprobs: top = 0 }: Asked, { tokens, text }: Choice): string | undefined {
  if (tokens.some((token) => token.top_logprobs.length !== top)) return `has tokens without ${top} alternatives`;
  const said = Buffer.from(tokens.flatMap(({ bytes }) => bytes ?? [])).toString("utf8");
  return said === text ? undefined : "has log-probabilities of another text than its own";
}

function faultOfCalls(tools: NonNullable<Asked["tools"]>, { calls }: Choice): string | undefined {
  if (calls.length === 0) return "has no tool call, and one is required";
  for (const call of calls) {
    const tool = tools.find((one) => one.function.name === call.name);
    if (tool === undefined) return `calls ${JSON.stringify(call.name)}, which is no tool`;
    const fault = faultOfDocument(call.arguments, tool.function.parameters);
    if (fault !== undefined) return `calls a tool, and its arguments ${fault}`;
  }
  return undefined;
}

function faultOfDocument(text: string, schema: Schema): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `is no JSON: ${text.slice(0, 200)}`;
  }
  const fault = faultOf(schema, value);
  return fault === undefined
    ? undefined
    : `breaks its schema (${fault}): ${text.slice(0, 200)} by ${JSON.stringify(schema)}`;
}
