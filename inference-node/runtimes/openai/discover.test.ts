// Which engine is behind an address is found out from what it says itself, with what its models can do.
import { afterEach, expect, test } from "vitest";
import { Thinking_Effort, Thinking_Mode } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { Capability, ModelState } from "../../../proto/gen/sluice/inference/v1/model_pb.js";
import { eventually } from "../../testing/test-node.ts";
import { type Asked, chunk, done, type Handler, json, models, sse, usageChunk } from "./testing/fake-upstream.ts";
import { type Fronted, type FrontedOptions, fronted, run } from "./testing/fronted.ts";

let open: Fronted | undefined;

afterEach(async () => {
  await open?.close();
  open = undefined;
});

async function found(routes: Record<string, Handler>, options: FrontedOptions = {}) {
  open = await fronted(routes, options);
  const flavor = open.entries.find(({ event }) => event === "upstream.found")?.flavor;
  const [model] = open.runtime.models();
  if (model === undefined) throw new Error("no model was found");
  return { flavor, model, runtime: open.runtime };
}

const ulid = { "x-request-id": "req_01ARZ3NDEKTSV4RRFFQ69G5FAV" };

test.each<[string, Handler, number]>([
  ["vllm", models("m", { owned_by: "vllm", max_model_len: 32_768 }), 32_768],
  ["llama-server", models("m", { owned_by: "llamacpp", meta: { n_ctx_train: 8_192 } }), 8_192],
  ["sglang", models("m", { owned_by: "sglang", max_model_len: 4_096 }), 4_096],
  ["tensorrt-llm", models("m", { owned_by: "tensorrt_llm", max_model_len: 2_048 }), 2_048],
  ["sluice", json(200, { data: [{ id: "m", owned_by: "x", context_length: 1_024 }] }, ulid), 1_024],
  ["openai", models("m", { owned_by: "system", context_length: 512 }), 512],
])("%s is told by its list of models, with the context that it gives", async (name, list, contextLength) => {
  const { flavor, model } = await found({ "/v1/models": list });
  expect(flavor).toBe(name);
  expect(model).toMatchObject({ id: "m", contextLength, state: ModelState.READY });
  expect(model.capabilities).toContain(Capability.CHAT);
});

test("llama-server's slots, its context of a slot and its vocabulary are taken over", async () => {
  const list = models("m", { owned_by: "llamacpp", meta: { n_ctx_train: 8_192, n_vocab: 100, ftype: "Q8_0" } });
  const props = json(200, { total_slots: 3, default_generation_settings: { n_ctx: 2_048 } });
  const { model, runtime } = await found({ "/v1/models": list, "/props": props });
  expect(model).toMatchObject({ contextLength: 2_048, sequences: 3, quantization: "Q8_0" });
  const tokens = { $typeName: "sluice.inference.v1.Prompt", form: { case: "tokens", value: { ids: [100] } } } as never;
  await expect(runtime.prepare("m", tokens, new AbortController().signal)).rejects.toMatchObject({
    param: "prompt.tokens.ids",
  });
});

test("the operator's context bounds the engine's, and stands in for one that is not told", async () => {
  const told = await found({}, { contextLength: 100 });
  expect(told.model.contextLength).toBe(100);
  await open?.close();
  const untold = await found({ "/v1/models": models("m", { owned_by: "system" }) }, { contextLength: 300 });
  expect(untold.model.contextLength).toBe(300);
});

/** A tokenizer whose template writes more when thinking is off, as Qwen's does. */
const tokenizer: Handler = (response, asked) => {
  const {
    messages,
    prompt,
    chat_template_kwargs: variables,
  } = asked.body as {
    messages?: { content: string }[];
    prompt?: string;
    chat_template_kwargs?: { enable_thinking?: boolean };
  };
  const text = prompt ?? `<|im_start|>${messages?.map(({ content }) => content).join("")}`;
  const off = variables?.enable_thinking === false ? "<think></think>" : "";
  const tokens = [...Buffer.from(text + off)];
  json(200, { count: tokens.length, tokens, max_model_len: 4_096 })(response, asked);
};
const answer = sse(chunk({ content: "a" }), chunk({}, "stop"), usageChunk(1, 1), done);

test("a switch for thinking is found by what the template makes of it, used, and counted with", async () => {
  const { model, runtime } = await found({ "/tokenize": tokenizer, "/v1/chat/completions": answer });
  expect(model.capabilities).toContain(Capability.REASONING);
  await run(runtime, { thinking: { mode: Thinking_Mode.DISABLED } });
  expect(open?.engine.to("/v1/chat/completions")[0]?.body.chat_template_kwargs).toEqual({ enable_thinking: false });
  const counted = open?.engine.to("/tokenize").at(-1)?.body;
  expect(counted).toMatchObject({ chat_template_kwargs: { enable_thinking: false }, messages: [{ content: "Hello" }] });
});

test("levels of effort are taken where the template tells them apart, and refused where it does not", async () => {
  const leveled: Handler = (response, asked) => {
    const { reasoning_effort: effort = "" } = (asked.body.chat_template_kwargs ?? {}) as { reasoning_effort?: string };
    // A word of one token each: only which one it is differs.
    json(200, { count: 7, tokens: [effort.length] })(response, asked);
  };
  const high = { thinking: { effort: Thinking_Effort.HIGH } };
  const { model, runtime } = await found({ "/tokenize": leveled, "/v1/chat/completions": answer });
  expect(model.capabilities).toContain(Capability.REASONING);
  await run(runtime, high);
  expect(open?.engine.to("/v1/chat/completions")[0]?.body.reasoning_effort).toBe("high");
  await expect(run(runtime, { thinking: { mode: Thinking_Mode.DISABLED } })).rejects.toMatchObject({
    param: "thinking.mode",
  });
  await open?.close();
  const switched = await found({ "/tokenize": tokenizer, "/v1/chat/completions": answer });
  await expect(run(switched.runtime, high)).rejects.toMatchObject({ param: "thinking.effort" });
});

test("llama-server has tools when the template has, since it leaves them out of any other", async () => {
  const list = models("m", { owned_by: "llamacpp", meta: { n_ctx: 512 } });
  const caps = (supports: boolean): Handler => json(200, { chat_template_caps: { supports_tools: supports } });
  const without = await found({ "/v1/models": list, "/props": caps(false) });
  expect(without.model.capabilities).not.toContain(Capability.TOOLS);
  await open?.close();
  const having = await found({ "/v1/models": list, "/props": caps(true) });
  expect(having.model.capabilities).toContain(Capability.TOOLS);
});

test("a template without a switch gives no capability to reason, unless the operator says so", async () => {
  const plain: Handler = (response, asked) => json(200, { count: 7, tokens: [1] })(response, asked);
  const { model } = await found({ "/tokenize": plain });
  expect(model.capabilities).not.toContain(Capability.REASONING);
  await open?.close();
  const told = await found({ "/tokenize": plain }, { env: { CAPABILITIES: "chat,reasoning" } });
  expect(told.model.capabilities).toEqual([Capability.CHAT, Capability.REASONING]);
});

test("embeddings are a capability of a model that makes one when it is asked for one", async () => {
  const embedding: Handler = (response, asked: Asked) => {
    const inputs = Array.isArray(asked.body.input) ? asked.body.input : [asked.body.input];
    const data = inputs.map((_, index) => ({ index, embedding: [3, 4, 0, index] })).reverse();
    json(200, { data, usage: { prompt_tokens: 2 * inputs.length } })(response, asked);
  };
  const { model, runtime } = await found({ "/v1/embeddings": embedding });
  expect(model.capabilities).toContain(Capability.EMBEDDINGS);
  expect(model.embeddingDimensions).toBe(4);
  const request = {
    $typeName: "sluice.inference.v1.EmbedRequest",
    requestId: "e",
    model: model.id,
    tenant: "",
    dimensions: 2,
    truncate: true,
    inputs: [
      { input: { case: "text", value: "one" } },
      { input: { case: "tokens", value: { ids: [1, 2] } } },
      { input: { case: "text", value: "two" } },
    ],
  } as never;
  const { embeddings, promptTokens } = await runtime.embed(request, new AbortController().signal);
  expect(embeddings.map(({ values }) => values)).toEqual([
    [0.6, 0.8],
    [0.6, 0.8],
    [0.6, 0.8],
  ]);
  expect(promptTokens).toBe(6);
  const bodies = open?.engine
    .to("/v1/embeddings")
    .slice(1)
    .map(({ body }) => body);
  expect(bodies).toMatchObject([{ input: ["one", "two"], truncate_prompt_tokens: -1 }, { input: [[1, 2]] }]);
});

/** An OpenAPI document as FastAPI writes it; a name that two modules have is prefixed there. */
function openapi(chat: string[], completion?: string[]): Handler {
  const schema = (names: string[]) => ({ properties: Object.fromEntries(names.map((name) => [name, {}])) });
  const post = (name: string) => ({
    post: { requestBody: { content: { "application/json": { schema: { $ref: `#/components/schemas/${name}` } } } } },
  });
  return json(200, {
    paths: {
      "/v1/chat/completions": post("engine__protocol__ChatCompletionRequest"),
      ...(completion && { "/v1/completions": post("CompletionRequest") }),
    },
    components: {
      schemas: {
        engine__protocol__ChatCompletionRequest: schema(chat),
        CompletionRequest: schema(completion ?? ["prompt"]),
        StreamOptions: schema(["include_usage"]),
      },
    },
  });
}

test("an engine's own description of its API decides what it takes", async () => {
  const described = openapi(["max_tokens", "guided_regex"]);
  const { runtime } = await found({ "/openapi.json": described, "/v1/chat/completions": answer });
  expect(runtime.features.has("prompt.text")).toBe(false);
  await run(runtime, { constraint: { kind: { case: "regex", value: "a" } } });
  const body = open?.engine.to("/v1/chat/completions")[0]?.body;
  expect(body).toMatchObject({ guided_regex: "a", stream_options: { include_usage: true } });
  expect(body?.stream_options).not.toHaveProperty("continuous_usage_stats");
  await expect(run(runtime, { sampling: { topK: 4 } })).rejects.toMatchObject({ param: "sampling.top_k" });
});

test("a description that can't be read says nothing: what is known of the kind holds", async () => {
  const { runtime } = await found({ "/openapi.json": openapi([]), "/v1/chat/completions": answer });
  await run(runtime, { sampling: { topK: 4 } });
  expect(open?.engine.to("/v1/chat/completions")[0]?.body).toMatchObject({ top_k: 4 });
});

test("a probe that is refused for its rate is no death of the engine", async () => {
  const list = models("m", { owned_by: "system", context_length: 512 });
  const { runtime } = await found({ "/v1/models": list }, { env: { PROBE_INTERVAL_MS: "20" } });
  open?.engine.routes.set("/v1/models", json(429, {}));
  const before = open?.engine.asked.length ?? 0;
  await eventually(() => (open?.engine.asked.length ?? 0) > before + 5);
  expect(runtime.models()[0]?.state).toBe(ModelState.READY);
});

test("an engine that dies is not ready within moments, and ready again, as it then is, when it is back", async () => {
  const { runtime } = await found({ "/health": json(200, {}) }, { env: { PROBE_INTERVAL_MS: "50" } });
  const state = (): ModelState | undefined => runtime.models()[0]?.state;
  let changes = 0;
  runtime.onStateChange(() => {
    changes += 1;
  });
  open?.engine.routes.set("/health", json(503, { error: "loading" }));
  await eventually(() => state() === ModelState.UNAVAILABLE);
  open?.engine.routes.set("/v1/models", models("fake", { owned_by: "vllm", max_model_len: 999 }));
  open?.engine.routes.set("/health", json(200, {}));
  await eventually(() => state() === ModelState.READY);
  expect(runtime.models()[0]?.contextLength).toBe(999);
  expect(changes).toBe(2);
  expect(open?.entries.map(({ event }) => event)).toEqual(expect.arrayContaining(["upstream.down", "upstream.up"]));
});

test("a request that finds the engine gone makes it looked at at once", async () => {
  const { runtime } = await found({}, { env: { PROBE_INTERVAL_MS: "60000" } });
  await open?.engine.close();
  await expect(run(runtime)).rejects.toThrow();
  await eventually(() => runtime.models()[0]?.state === ModelState.UNAVAILABLE);
});

test("the engine's own queue lowers the number of sequences, and its end raises it again", async () => {
  let waiting = 6;
  const metrics: Handler = (response) => {
    response.end(`vllm:num_requests_running{m="a"} 8\nvllm:num_requests_waiting{m="a"} ${waiting}\n`);
  };
  const { runtime } = await found({ "/metrics": metrics }, { sequences: 8, env: { METRICS_INTERVAL_MS: "20" } });
  await eventually(() => runtime.models()[0]?.sequences === 1);
  waiting = 0;
  await eventually(() => runtime.models()[0]?.sequences === 8);
});
