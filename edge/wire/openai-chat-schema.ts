// The shape of a chat completion request: types and ranges of every parameter that is honoured.
import { z } from "zod";
import { text } from "./validation.ts";

const UINT32_MAX = 4_294_967_295;
const INT64_BOUND = 2 ** 63;
const STOP_MAX = 16;
const TOOLS_MAX = 128;
const LOGIT_BIAS_MAX = 1024;
const CHOICES_MAX = 1000;
const NAME_SHAPE = /^[A-Za-z0-9_-]{1,64}$/;

const count = z.int().min(0).max(UINT32_MAX);
const positive = z.int().min(1).max(UINT32_MAX);
const functionName = text.refine((name) => NAME_SHAPE.test(name), "must be 1 to 64 letters, digits, _ or -");
const jsonSchema = z.record(z.string(), z.unknown());

/** A part of any type; what is not text is refused later, by its own name. */
const contentPart = z.looseObject({ type: text, text: text.optional(), refusal: text.optional() });
const content = z.union([text, z.array(contentPart).min(1)]);
const label = text.max(256).nullish();

const toolCall = z.object({
  id: text.min(1),
  type: z.literal("function").optional(),
  function: z.object({ name: text.min(1), arguments: text }),
});

const message = z.discriminatedUnion("role", [
  z.object({ role: z.literal("system"), content, name: label }),
  z.object({ role: z.literal("developer"), content, name: label }),
  z.object({ role: z.literal("user"), content, name: label }),
  z.object({
    role: z.literal("assistant"),
    content: content.nullish(),
    name: label,
    refusal: text.nullish(),
    reasoning_content: text.nullish(),
    reasoning: text.nullish(),
    tool_calls: z.array(toolCall).max(TOOLS_MAX).nullish(),
    prefix: z.boolean().nullish(),
    audio: z.null("is not supported").optional(),
    function_call: z.null("is not supported; use `tool_calls`").optional(),
  }),
  z.object({ role: z.literal("tool"), content, tool_call_id: text.min(1) }),
]);

const tool = z.looseObject({
  type: text,
  function: z
    .object({
      name: functionName,
      description: text.nullish(),
      parameters: jsonSchema.nullish(),
      strict: z.boolean().nullish(),
    })
    .optional(),
});

const namedTool = z.object({ type: z.literal("function"), function: z.object({ name: text }) });
const toolChoice = z.union([
  z.literal(["none", "auto", "required"]),
  namedTool,
  z.object({
    type: z.literal("allowed_tools"),
    allowed_tools: z.object({ mode: z.literal(["auto", "required"]), tools: z.array(namedTool).min(1).max(TOOLS_MAX) }),
  }),
]);

const responseFormat = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({ type: z.literal("json_object"), schema: jsonSchema.nullish() }),
  z.object({
    type: z.literal("json_schema"),
    json_schema: z.object({
      name: functionName,
      description: text.nullish(),
      schema: jsonSchema.nullish(),
      strict: z.boolean().nullish(),
    }),
  }),
]);

const schemaOrText = z.union([jsonSchema, text.min(1)]);
const choices = z.array(text.min(1)).min(1).max(CHOICES_MAX);
const structuredOutputs = z.strictObject({
  json: schemaOrText.nullish(),
  regex: text.min(1).nullish(),
  choice: choices.nullish(),
  grammar: text.min(1).nullish(),
  json_object: z.boolean().nullish(),
});

const stopString = text.min(1);

/** Checked after nulls are taken out at the top level. Its keys are the honoured ones of CHAT_PARAMETERS. */
export const chatRequestSchema = z.object({
  model: text.min(1).max(256),
  messages: z.array(message).min(1),
  stream: z.boolean().default(false),
  stream_options: z
    .object({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .optional(),
  max_completion_tokens: positive.optional(),
  max_tokens: positive.optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_k: z.int().min(-1).max(UINT32_MAX).optional(),
  min_p: z.number().min(0).max(1).optional(),
  typical_p: z.number().gt(0).max(1).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  repetition_penalty: z.number().gt(0).max(2).optional(),
  seed: z
    .number()
    .refine((seed) => Number.isInteger(seed) && seed >= -INT64_BOUND && seed < INT64_BOUND, "must be a 64-bit integer")
    .optional(),
  logit_bias: z
    .record(z.string(), z.number().min(-100).max(100))
    .refine((biases) => Object.keys(biases).length <= LOGIT_BIAS_MAX, `must have at most ${LOGIT_BIAS_MAX} entries`)
    .refine(
      (biases) => Object.keys(biases).every((id) => /^\d{1,10}$/.test(id) && Number(id) <= UINT32_MAX),
      "must have token ids as keys",
    )
    .optional(),
  stop: z.union([stopString, z.array(stopString).max(STOP_MAX)]).optional(),
  stop_token_ids: z.array(count).max(STOP_MAX).optional(),
  deterministic: z.boolean().optional(),
  min_tokens: count.optional(),
  ignore_eos: z.boolean().optional(),
  service_tier: z.literal(["auto", "default", "flex"]).optional(),
  n: z.int().min(1).max(128).optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
  tools: z.array(tool).max(TOOLS_MAX).optional(),
  tool_choice: toolChoice.optional(),
  parallel_tool_calls: z.boolean().optional(),
  response_format: responseFormat.optional(),
  guided_json: schemaOrText.optional(),
  guided_regex: text.min(1).optional(),
  guided_choice: choices.optional(),
  guided_grammar: text.min(1).optional(),
  structured_outputs: structuredOutputs.optional(),
  json_schema: jsonSchema.optional(),
  grammar: text.min(1).optional(),
  thinking: z.object({ type: z.literal(["enabled", "disabled"]), budget_tokens: count.nullish() }).optional(),
  reasoning_effort: z.literal(["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]).optional(),
});

export type ChatBody = z.output<typeof chatRequestSchema>;
export type ChatMessage = ChatBody["messages"][number];
export type ChatContent = z.output<typeof content>;
