// What a model lacks is refused by name, never ignored; output limits fit the context.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { GenerateRequestSchema } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability, ModelSchema } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { Role, ToolChoice_Mode } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "./node-error.ts";
import { outputLimit, requireSupported } from "./request-checks.ts";
import type { RequestFeature } from "./request-features.ts";

type Init = Exclude<MessageInitShape<typeof GenerateRequestSchema>, { $typeName: string }>;

const plain = create(ModelSchema, {
  id: "m",
  capabilities: [Capability.CHAT],
  contextLength: 100,
  defaultMaxTokens: 40,
});
const nothing: ReadonlySet<RequestFeature> = new Set();
const messages = [{ role: Role.USER, content: "Hi" }];
const chat = (more: object = {}): Init => ({ prompt: { form: { case: "chat", value: { messages, ...more } } } });

describe("a plain model", () => {
  it.each<[string, Init]>([
    ["choice_count", { choiceCount: 2 }],
    ["best_of", { bestOf: 2 }],
    ["deterministic", { deterministic: true }],
    ["echo", { echo: true }],
    ["resumable", { resumable: true }],
    ["sampling.typical_p", { sampling: { typicalP: 0.5 } }],
    ["sampling.logit_bias", { sampling: { logitBias: [{ tokenId: 1, bias: 1 }] } }],
    ["stopping.stop_token_ids", { stopping: { stopTokenIds: [1] } }],
    ["stopping.min_tokens", { stopping: { minTokens: 1 } }],
    ["stopping.ignore_eos", { stopping: { ignoreEos: true } }],
    ["logprobs", { logprobs: { output: true } }],
    ["thinking", { thinking: { mode: 1 } }],
    ["thinking", { thinking: { effort: 2 } }],
    ["constraint", { constraint: { kind: { case: "jsonObject", value: {} } } }],
    ["prompt.text", { prompt: { form: { case: "text", value: "x" } } }],
    ["prompt.tokens", { prompt: { form: { case: "tokens", value: { ids: [1] } } } }],
    ["prompt.chat.tools", chat({ tools: [{ name: "f" }] })],
    ["prompt.chat.continue_final_message", chat({ continueFinalMessage: true })],
  ])("refuses %s as UNIMPLEMENTED", (param, init) => {
    const request = create(GenerateRequestSchema, { ...chat(), ...init } as Init);
    const refusal = expect.objectContaining({ code: Code.UNIMPLEMENTED, param });
    expect(() => requireSupported(request, plain, nothing)).toThrow(refusal);
  });

  it("refuses a hole to fill as FAILED_PRECONDITION", () => {
    const request = create(GenerateRequestSchema, { prompt: { form: { case: "fillInMiddle", value: {} } } });
    const refusal = expect.objectContaining({ code: Code.FAILED_PRECONDITION, param: "prompt.fill_in_middle" });
    expect(() => requireSupported(request, plain, nothing)).toThrow(refusal);
  });

  it.each<[string, Init]>([
    ["one choice", { choiceCount: 1, bestOf: 1 }],
    ["typical_p of 1", { sampling: { typicalP: 1 } }],
    ["thinking disabled", { thinking: { mode: 2 } }],
    ["tools that must not be called", chat({ tools: [{ name: "f" }], toolChoice: { mode: ToolChoice_Mode.NONE } })],
  ])("takes %s, which asks for nothing", (_name, init) => {
    const request = create(GenerateRequestSchema, { ...chat(), ...init } as Init);
    expect(() => requireSupported(request, plain, nothing)).not.toThrow();
  });
});

describe("the output limit", () => {
  const limit = (promptTokens: number, maxTokens?: number): number => {
    const stopping = maxTokens === undefined ? {} : { maxTokens };
    return outputLimit(create(GenerateRequestSchema, { stopping }), plain, { promptTokens });
  };

  it("is what was asked for, else the model's default, else what there is room for", () => {
    expect(limit(10, 90)).toBe(90);
    expect(limit(10)).toBe(40);
    expect(limit(80)).toBe(20);
    expect(limit(99)).toBe(1);
  });

  it.each([
    [10, 91],
    [100, undefined],
    [250, 1],
  ])("refuses a prompt of %d tokens with max_tokens %s", (promptTokens, maxTokens) => {
    expect(() => limit(promptTokens, maxTokens)).toThrow(
      expect.objectContaining({
        code: Code.OUT_OF_RANGE,
        metadata: { context_length: "100", prompt_tokens: String(promptTokens), max_tokens: String(maxTokens ?? 0) },
      }),
    );
  });

  it("refuses a prompt of no tokens", () => {
    expect(() => limit(0)).toThrow(expect.objectContaining({ code: Code.INVALID_ARGUMENT }));
  });
});
