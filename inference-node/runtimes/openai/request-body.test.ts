import { expect, test } from "vitest";
import { Priority, Thinking_Effort } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role } from "../../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "../../node-error.ts";
import { requestedFeatures } from "../../request-features.ts";
import { FLAVORS, type FlavorName, featuresOf, flavorOf } from "./flavor.ts";
import { upstreamRequest } from "./request-body.ts";
import { type Init, refused, requestOf, send } from "./testing/send.ts";

test("a plain chat is streamed, with usage always asked for", () => {
  for (const name of FLAVORS) {
    expect(send(name, {})).toMatchObject({
      model: "up",
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: "user", content: "Hello" }],
    });
  }
  expect(send("vllm", {}).stream_options).toEqual({ include_usage: true, continuous_usage_stats: true });
});

test("numbers of the wire are sent by their shortest decimals", () => {
  const sampling = { temperature: 0.7, topP: 0.95, presencePenalty: -1.1 };
  expect(send("openai", { sampling })).toMatchObject({ temperature: 0.7, top_p: 0.95, presence_penalty: -1.1 });
});

test("the bound of tokens has the name that the engine reads, and is left out when there is none", () => {
  expect(send("vllm", {}, { limit: 9 })).toMatchObject({ max_tokens: 9 });
  expect(send("openai", {}, { limit: 9, newerLimitName: true })).toMatchObject({ max_completion_tokens: 9 });
  expect(send("vllm", {})).not.toHaveProperty("max_tokens");
});

test.each<[string, Init, Partial<Record<FlavorName, Record<string, unknown>>>, string]>([
  [
    "top_k",
    { sampling: { topK: 40 } },
    {
      vllm: { top_k: 40 },
      "llama-server": { top_k: 40 },
      sglang: { top_k: 40 },
      "tensorrt-llm": { top_k: 40 },
      sluice: { top_k: 40 },
    },
    "sampling.top_k",
  ],
  [
    "min_p",
    { sampling: { minP: 0.1 } },
    {
      vllm: { min_p: 0.1 },
      "llama-server": { min_p: 0.1 },
      sglang: { min_p: 0.1 },
      "tensorrt-llm": { min_p: 0.1 },
      sluice: { min_p: 0.1 },
    },
    "sampling.min_p",
  ],
  [
    "typical_p",
    { sampling: { typicalP: 0.9 } },
    { "llama-server": { typical_p: 0.9 }, sluice: { typical_p: 0.9 } },
    "sampling.typical_p",
  ],
  [
    "repetition_penalty",
    { sampling: { repetitionPenalty: 1.2 } },
    {
      vllm: { repetition_penalty: 1.2 },
      "llama-server": { repeat_penalty: 1.2, repeat_last_n: 512 },
      sglang: { repetition_penalty: 1.2 },
      "tensorrt-llm": { repetition_penalty: 1.2 },
      sluice: { repetition_penalty: 1.2 },
    },
    "sampling.repetition_penalty",
  ],
  [
    "stop_token_ids",
    { stopping: { stopTokenIds: [2] } },
    {
      vllm: { stop_token_ids: [2] },
      sglang: { stop_token_ids: [2] },
      "tensorrt-llm": { stop_token_ids: [2] },
      sluice: { stop_token_ids: [2] },
    },
    "stopping.stop_token_ids",
  ],
  [
    "min_tokens",
    { stopping: { minTokens: 3 } },
    {
      vllm: { min_tokens: 3 },
      sglang: { min_tokens: 3 },
      "tensorrt-llm": { min_tokens: 3 },
      sluice: { min_tokens: 3 },
    },
    "stopping.min_tokens",
  ],
  [
    "ignore_eos",
    { stopping: { ignoreEos: true } },
    {
      vllm: { ignore_eos: true },
      "llama-server": { ignore_eos: true },
      sglang: { ignore_eos: true },
      "tensorrt-llm": { ignore_eos: true },
      sluice: { ignore_eos: true },
    },
    "stopping.ignore_eos",
  ],
  ["deterministic", { deterministic: true }, { sluice: { deterministic: true } }, "deterministic"],
  ["resumable", { resumable: true }, {}, "resumable"],
  ["logprobs.prompt", { logprobs: { prompt: true } }, {}, "logprobs.prompt"],
  ["best_of", { choiceCount: 2, bestOf: 3 }, {}, "best_of"],
  ["echo of a chat", { echo: true }, {}, "echo"],
  [
    "a regular expression",
    { constraint: { kind: { case: "regex", value: "a+" } } },
    {
      vllm: { structured_outputs: { regex: "a+" } },
      sglang: { regex: "a+" },
      sluice: { structured_outputs: { regex: "a+" } },
      "tensorrt-llm": { response_format: { type: "regex", regex: "a+" } },
    },
    "constraint.regex",
  ],
  [
    "a grammar",
    { constraint: { kind: { case: "grammar", value: 'root ::= "a"' } } },
    {
      vllm: { structured_outputs: { grammar: 'root ::= "a"' } },
      sglang: { ebnf: 'root ::= "a"' },
      sluice: { structured_outputs: { grammar: 'root ::= "a"' } },
      "llama-server": { grammar: 'root ::= "a"' },
      "tensorrt-llm": { response_format: { type: "ebnf", ebnf: 'root ::= "a"' } },
    },
    "constraint.grammar",
  ],
  [
    "a prompt that leaves no prefix",
    { prefixCache: { disabled: true } },
    { vllm: { cache_salt: "sluice-once-r1" }, "llama-server": { cache_prompt: false } },
    "prefix_cache.disabled",
  ],
  [
    "the greatest effort",
    { thinking: { effort: Thinking_Effort.MAX } },
    {
      vllm: { reasoning_effort: "max" },
      "llama-server": { reasoning_effort: "max" },
      sglang: { reasoning_effort: "max" },
      sluice: { reasoning_effort: "max" },
    },
    "thinking.effort",
  ],
  [
    "a budget of reasoning",
    { thinking: { budgetTokens: 64 } },
    { "llama-server": { thinking_budget_tokens: 64 }, sluice: { thinking: { type: "enabled", budget_tokens: 64 } } },
    "thinking.budget_tokens",
  ],
])("%s goes to the engines that take it, and is refused for the others", (_name, init, taken, param) => {
  for (const name of FLAVORS) {
    const expected = taken[name];
    const body = send(name, init);
    if (expected === undefined) expect({ name, ...body }).toEqual({ name, ...refused(param) });
    else expect({ name, ...body }).toMatchObject({ name, ...expected });
  }
});

test("what is off is not refused by an engine that lacks it", () => {
  const sampling = { topK: 0, minP: 0, typicalP: 1, repetitionPenalty: 1 };
  const body = send("openai", { sampling });
  for (const name of ["refused", "top_k", "min_p", "typical_p", "repetition_penalty"])
    expect(body).not.toHaveProperty(name);
  expect(send("vllm", { sampling })).toMatchObject({ top_k: -1 });
  expect(send("llama-server", { sampling })).toMatchObject({ top_k: 0 });
});

test("no optional feature that a request can ask for is dropped: it is in the features and the body, or refused", () => {
  const asking: Init[] = [
    { choiceCount: 2 },
    { deterministic: true },
    { resumable: true },
    { sampling: { typicalP: 0.5 } },
    { sampling: { logitBias: [{ tokenId: 1, bias: 2 }] } },
    { stopping: { stopTokenIds: [1] } },
    { stopping: { minTokens: 1 } },
    { stopping: { ignoreEos: true } },
    { logprobs: { prompt: true } },
    { thinking: { budgetTokens: 5 } },
    { prompt: { form: { case: "text", value: "a" } } },
    { prompt: { form: { case: "tokens", value: { ids: [1] } } } },
    {
      prompt: {
        form: {
          case: "chat",
          value: { messages: [{ role: Role.ASSISTANT, content: "a" }], continueFinalMessage: true },
        },
      },
    },
  ];
  const plain = JSON.stringify(send("openai", {}));
  for (const name of FLAVORS) {
    const features = featuresOf(flavorOf(name));
    for (const init of asking) {
      const [feature] = requestedFeatures(requestOf(init));
      if (feature === undefined) throw new Error("it asks for nothing");
      const body = send(name, init);
      if (!features.has(feature)) continue;
      expect(JSON.stringify(body), `${name} ${feature}`).not.toBe(plain);
      expect(body, `${name} ${feature}`).not.toHaveProperty("refused");
    }
  }
});

test("batch work waits as batch work in a Sluice behind this one too", () => {
  expect(send("sluice", { priority: Priority.BATCH })).toMatchObject({ service_tier: "flex" });
  expect(send("sluice", { priority: Priority.INTERACTIVE })).not.toHaveProperty("service_tier");
  expect(send("openai", { priority: Priority.BATCH })).not.toHaveProperty("service_tier");
});

test("more stop strings than the engine takes are refused, not cut", () => {
  const stopStrings = ["a", "b", "c", "d", "e"];
  expect(send("openai", { stopping: { stopStrings } })).toEqual(refused("stopping.stop_strings"));
  expect(send("vllm", { stopping: { stopStrings } })).toMatchObject({ stop: stopStrings });
});

test("a long seed keeps both its ends, in as many bits as the engine takes", () => {
  const seeds = [1n, 2n ** 63n + 1n, 2n ** 64n - 1n].map((seed) => send("vllm", { sampling: { seed } }).seed);
  expect(new Set(seeds).size).toBe(3);
  expect(seeds.every((seed) => Number.isSafeInteger(seed))).toBe(true);
  expect(seeds[0]).toBe(1);
  expect(send("llama-server", { sampling: { seed: 2n ** 64n - 1n } }).seed).toBeLessThan(2 ** 32);
});

test("a text and its token ids go to the completions, and are refused where there are none", () => {
  const text: Init = { prompt: { form: { case: "text", value: "Once" } }, logprobs: { output: true, top: 3 } };
  const target = {
    flavor: flavorOf("vllm"),
    upstreamId: "up",
    contextLength: 512,
    effort: true,
    newerLimitName: false,
    thinking: undefined,
  };
  expect(upstreamRequest(requestOf(text), target, { limit: 5 })).toMatchObject({
    path: "/completions",
    body: { prompt: "Once", logprobs: 3, max_tokens: 5 },
  });
  expect(upstreamRequest(requestOf(text), target, { limit: 5, tokens: [1, 2] }).body.prompt).toEqual([1, 2]);
  expect(featuresOf(flavorOf("sluice")).has("prompt.text")).toBe(false);
});

test("a schema is the response format, also in llama-server's completions, and must be JSON", () => {
  const jsonSchema = (schemaJson: string): Init => ({
    constraint: { kind: { case: "jsonSchema", value: { name: "s", schemaJson, strict: true } } },
  });
  const wrapped = { type: "json_schema", json_schema: { name: "s", schema: { type: "object" }, strict: true } };
  for (const name of FLAVORS)
    expect(send(name, jsonSchema('{"type":"object"}'))).toMatchObject({ response_format: wrapped });
  const text: Init = { prompt: { form: { case: "text", value: "a" } }, ...jsonSchema('{"type":"object"}') };
  expect(send("llama-server", text)).toMatchObject({ json_schema: { type: "object" } });
  const bad = { refused: [Code.INVALID_ARGUMENT, "constraint.json_schema.schema_json"] };
  expect(send("vllm", jsonSchema("{"))).toEqual(bad);
  expect(send("vllm", jsonSchema("[]"))).toEqual(bad);
});

test("an engine's own description of its API decides over what is known of its kind", () => {
  const chat = new Set(["temperature", "max_tokens", "guided_regex", "thinking_token_budget"]);
  const flavor = flavorOf("vllm", { chat, completion: new Set() });
  const target = {
    flavor,
    upstreamId: "up",
    contextLength: 512,
    effort: true,
    newerLimitName: false,
    thinking: undefined,
  };
  const body = (init: Init) => upstreamRequest(requestOf(init), target, { limit: undefined }).body;
  expect(body({ constraint: { kind: { case: "regex", value: "a" } } })).toMatchObject({ guided_regex: "a" });
  expect(body({ thinking: { budgetTokens: 3 } })).toMatchObject({ thinking_token_budget: 3 });
  expect(() => body({ sampling: { topK: 3 } })).toThrow("sampling.top_k");
  expect(featuresOf(flavor).has("prompt.text")).toBe(false);
});
