// Every field outside the contract is refused with its own name.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { GenerateRequestSchema } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { type ChatPromptSchema, Role, ToolChoice_Mode } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "./node-error.ts";
import { validateGenerate } from "./validate.ts";

type Init = Exclude<MessageInitShape<typeof GenerateRequestSchema>, { $typeName: string }>;
type ChatInit = Exclude<MessageInitShape<typeof ChatPromptSchema>, { $typeName: string }>;

const messages = [{ role: Role.USER, content: "Hi" }];

function check(init: Init): void {
  const form = { case: "chat" as const, value: { messages } };
  validateGenerate(create(GenerateRequestSchema, { requestId: "r", model: "m", prompt: { form }, ...init } as Init));
}

function refuses(init: Init, param: string): void {
  expect(() => check(init)).toThrow(expect.objectContaining({ code: Code.INVALID_ARGUMENT, param }));
}

const withChat = (chat: ChatInit): Init => ({
  prompt: { form: { case: "chat", value: { messages, ...chat } as ChatInit } },
});
const tools = [{ name: "f" }];

describe("a request", () => {
  it("passes with every field at its bounds", () => {
    const sampling = {
      temperature: 2,
      topP: 1,
      minP: 0,
      typicalP: 1,
      presencePenalty: -2,
      frequencyPenalty: 2,
      repetitionPenalty: 2,
    };
    const stopStrings = Array.from({ length: 16 }, () => "x");
    check({ sampling, stopping: { maxTokens: 1, stopStrings }, logprobs: { output: true, top: 20 }, choiceCount: 128 });
    check(withChat({ tools, toolChoice: { mode: ToolChoice_Mode.NAMED, name: "f" } }));
  });

  it.each<[string, Init]>([
    ["request_id", { requestId: "" }],
    ["request_id", { requestId: "x".repeat(129) }],
    ["model", { model: "" }],
    ["prompt", { prompt: {} }],
    ["prompt.text", { prompt: { form: { case: "text", value: "" } } }],
    ["prompt.tokens.ids", { prompt: { form: { case: "tokens", value: {} } } }],
    ["choice_count", { choiceCount: 129 }],
    ["best_of", { choiceCount: 3, bestOf: 2 }],
    ["tenant", { tenant: "x".repeat(257) }],
    ["priority", { priority: 9 as never }],
    ["prefix_cache.salt", { prefixCache: { salt: "x".repeat(257) } }],
    ["stream_interval", { streamInterval: { seconds: 0n, nanos: 0 } }],
    ["stream_interval", { streamInterval: { seconds: 11n } }],
    ["thinking.mode", { thinking: { mode: 7 as never } }],
    ["thinking.effort", { thinking: { effort: 9 as never } }],
    ["thinking.budget_tokens", { thinking: { mode: 2, budgetTokens: 5 } }],
    ["logprobs.top", { logprobs: { output: true, top: 21 } }],
    ["logprobs.top", { logprobs: { top: 1 } }],
    ["constraint", { constraint: {} }],
    ["constraint.regex", { constraint: { kind: { case: "regex", value: "" } } }],
    ["constraint.json_schema.schema_json", { constraint: { kind: { case: "jsonSchema", value: {} } } }],
    ["stopping.max_tokens", { stopping: { maxTokens: 0 } }],
    ["stopping.min_tokens", { stopping: { maxTokens: 2, minTokens: 3 } }],
    ["stopping.stop_strings", { stopping: { stopStrings: Array.from({ length: 17 }, () => "x") } }],
    ["stopping.stop_strings[1]", { stopping: { stopStrings: ["x", ""] } }],
    ["stopping.stop_strings[0]", { stopping: { stopStrings: ["x".repeat(1_025)] } }],
    ["sampling.logit_bias[0].bias", { sampling: { logitBias: [{ tokenId: 1, bias: 101 }] } }],
  ])("is refused for %s", (param, init) => refuses(init, param));

  it.each([
    ["temperature", 2.1, -0.1],
    ["topP", 1.1, 0],
    ["minP", 1.1, -0.1],
    ["typicalP", 1.1, 0],
    ["presencePenalty", 2.1, -2.1],
    ["frequencyPenalty", 2.1, -2.1],
    ["repetitionPenalty", 2.1, 0],
  ])("is refused for sampling.%s above, below and off the number line", (field, above, below) => {
    const param = `sampling.${field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
    for (const value of [above, below, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      refuses({ sampling: { [field]: value } }, param);
    }
  });
});

describe("a chat", () => {
  const path = "prompt.chat.messages[0]";
  it.each<[string, ChatInit]>([
    ["prompt.chat.messages", { messages: [] }],
    [`${path}.role`, { messages: [{ content: "x" }] }],
    [`${path}.role`, { messages: [{ role: 9 as never }] }],
    [`${path}.tool_call_id`, { messages: [{ role: Role.TOOL, content: "x" }] }],
    [`${path}.tool_calls`, { messages: [{ role: Role.USER, toolCalls: [{ name: "f" }] }] }],
    [`${path}.tool_calls[0].name`, { messages: [{ role: Role.ASSISTANT, toolCalls: [{ id: "c" }] }] }],
    ["prompt.chat.continue_final_message", { continueFinalMessage: true }],
    ["prompt.chat.tools[0].name", { tools: [{ name: "" }] }],
    ["prompt.chat.tools[1].name", { tools: [...tools, ...tools] }],
    ["prompt.chat.tools[0].parameters_json", { tools: [{ name: "f", parametersJson: "[1]" }] }],
    ["prompt.chat.tools[0].parameters_json", { tools: [{ name: "f", parametersJson: "{" }] }],
    ["prompt.chat.tools[0].parameters_json.type", { tools: [{ name: "f", parametersJson: '{"type":"array"}' }] }],
    ["prompt.chat.tools[0].parameters_json.type", { tools: [{ name: "f", parametersJson: '{"type":["null"]}' }] }],
    ["prompt.chat.tools[0].parameters_json.type", { tools: [{ name: "f", parametersJson: '{"type":null}' }] }],
    ["prompt.chat.tool_choice.mode", { toolChoice: { mode: ToolChoice_Mode.REQUIRED } }],
    ["prompt.chat.tool_choice.mode", { toolChoice: { mode: 9 as never } }],
    ["prompt.chat.tool_choice.name", { tools, toolChoice: { mode: ToolChoice_Mode.NAMED, name: "g" } }],
    ["prompt.chat.tool_choice.allowed_names[0]", { tools, toolChoice: { mode: 1, allowedNames: ["g"] } }],
  ])("is refused for %s", (param, chat) => refuses(withChat(chat), param));
});
