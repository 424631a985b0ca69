// What an engine streams is what the node gets: pieces, counts, reasons and calls, in every form that engines have for them.
import { afterEach, expect, test } from "vitest";
import { FinishReason } from "../../../proto/gen/sluice/inference/v1/generate_pb.js";
import { chunk, done, type Handler, models, sse, sseText, usageChunk } from "./testing/fake-upstream.ts";
import { type Fronted, fronted, type Ran, type RequestInit, run } from "./testing/fronted.ts";

let open: Fronted | undefined;

afterEach(async () => {
  await open?.close();
  open = undefined;
});

async function answered(handler: Handler, init: RequestInit = {}, path = "/v1/chat/completions"): Promise<Ran> {
  open = await fronted({ [path]: handler });
  return await run(open.runtime, init);
}

const stop = [chunk({}, "stop"), usageChunk(9, 2), done];

test("text, reason and usage are passed on, and the fingerprint is the engine's from the first event on", async () => {
  const fingerprint = { system_fingerprint: "fp_engine" };
  const events = [
    chunk({ role: "assistant", content: "" }, null, fingerprint),
    chunk({ content: "Hel" }),
    ": ping\n\n",
    chunk({ content: "lo" }),
    ...stop,
  ];
  const ran = await answered(sse(...events));
  expect(ran.text).toBe("Hello");
  expect(ran.deltas.map(({ completionTokens }) => completionTokens)).toEqual([1, 2]);
  expect(ran.prefilled.systemFingerprint).toBe("fp_engine");
  expect(ran.finished).toMatchObject({ reason: FinishReason.STOP, systemFingerprint: "fp_engine" });
  expect(ran.finished.usage).toMatchObject({ promptTokens: 9, completionTokens: 2 });
  expect(ran.finished.timings?.prefill).toBeDefined();
});

test("a chunk that only opens the answer is no sign that the prompt was read", async () => {
  const timings = { cache_n: 6, prompt_n: 1, prompt_ms: 1, predicted_n: 1, predicted_ms: 1 };
  const ran = await answered(
    sse(chunk({ role: "assistant", content: null }), chunk({ content: "a" }, null, { timings }), ...stop),
  );
  expect(ran.prefilled).toMatchObject({ promptTokens: 7, cachedTokens: 6 });
  const empty = sse(chunk({ role: "assistant", content: "" }), ...stop);
  open?.engine.routes.set("/v1/chat/completions", empty);
  if (open) expect((await run(open.runtime)).deltas).toEqual([]);
});

test("usage is verbatim, details included, whatever was counted on the way", async () => {
  const usage = {
    prompt_tokens_details: { cached_tokens: 7 },
    completion_tokens_details: { reasoning_tokens: 40, accepted_prediction_tokens: 3, rejected_prediction_tokens: 1 },
  };
  const ran = await answered(sse(chunk({ content: "a" }), chunk({}, "stop"), usageChunk(2_852, 97, usage), done));
  expect(ran.finished.usage).toMatchObject({
    promptTokens: 2_852,
    completionTokens: 97,
    cachedTokens: 7,
    reasoningTokens: 40,
    acceptedPredictionTokens: 3,
    rejectedPredictionTokens: 1,
  });
});

test("counts that come with every chunk are the running count, and the prompt's is known at once", async () => {
  const counted = (tokens: number) => ({ usage: { prompt_tokens: 31, completion_tokens: tokens } });
  const events = [
    chunk({ role: "assistant", content: "" }, null, counted(0)),
    chunk({ content: "abc" }, null, counted(3)),
    chunk({ content: "d" }, null, counted(4)),
    chunk({}, "stop", counted(4)),
    usageChunk(31, 4),
    done,
  ];
  const ran = await answered(sse(...events));
  expect(ran.prefilled.promptTokens).toBe(31);
  expect(ran.deltas.map(({ completionTokens }) => completionTokens)).toEqual([3, 4]);
});

test("usage beside the last choice counts where there is no chunk for it alone", async () => {
  const usage = { usage: { prompt_tokens: 5, completion_tokens: 6 } };
  const ran = await answered(sse(chunk({ content: "a" }), chunk({}, "stop", usage), done));
  expect(ran.finished.usage).toMatchObject({ promptTokens: 5, completionTokens: 6 });
});

test("an engine that says no usage gets what was seen counted, and a line in the log", async () => {
  const ran = await answered(sse(chunk({ content: "a" }), chunk({ content: "b" }), chunk({}, "stop"), done));
  expect(ran.finished.usage?.completionTokens).toBe(2);
  expect(open?.entries.map(({ event }) => event)).toContain("upstream.no_usage");
});

test.each(["reasoning_content", "reasoning"])("reasoning as %s comes before the text, apart from it", async (name) => {
  const ran = await answered(
    sse(chunk({ [name]: "hm, " }), chunk({ [name]: "yes" }), chunk({ content: "Yes." }), ...stop),
  );
  expect([ran.reasoning, ran.text]).toEqual(["hm, yes", "Yes."]);
});

test("reasoning under both names is given once", async () => {
  const ran = await answered(sse(chunk({ reasoning_content: "hm", reasoning: "hm" }), ...stop));
  expect(ran.reasoning).toBe("hm");
});

test.each([
  ["length", FinishReason.LENGTH],
  ["content_filter", FinishReason.CONTENT_FILTER],
  ["tool_calls", FinishReason.TOOL_CALLS],
  ["function_call", FinishReason.TOOL_CALLS],
  ["eos_token", FinishReason.STOP],
])("the finish reason %s is the contract's", async (word, reason) => {
  const ran = await answered(sse(chunk({ content: "a" }), chunk({}, word), usageChunk(1, 1), done), {
    stopping: { maxTokens: 4 },
  });
  expect(ran.finished.reason).toBe(reason);
});

test("a finish reason that is empty on the way is none, and a stream without one ends with stop", async () => {
  const ran = await answered(sse(chunk({ content: "a" }, ""), chunk({ content: "b" }, ""), usageChunk(1, 2), done));
  expect([ran.text, ran.finished.reason]).toEqual(["ab", FinishReason.STOP]);
});

test("length is the context's when the request set no limit and the context is full", async () => {
  const full = sse(chunk({ content: "a" }), chunk({}, "length"), usageChunk(4_000, 96), done);
  const ran = await answered(full);
  expect(ran.finished.reason).toBe(FinishReason.CONTEXT_LENGTH);
});

test.each(["stop_reason", "matched_stop"])(
  "the stop string that %s names is told, an EOS token's id is not",
  async (name) => {
    const end = (value: unknown) => ({ choices: [{ index: 0, delta: {}, finish_reason: "stop", [name]: value }] });
    const init: RequestInit = { stopping: { stopStrings: ["\n"], stopTokenIds: [7] } };
    const ran = await answered(sse(chunk({ content: "a" }), end("\n"), usageChunk(1, 1), done), init);
    expect(ran.finished).toMatchObject({ reason: FinishReason.STOP_SEQUENCE, stopSequence: "\n" });
    open?.engine.routes.set("/v1/chat/completions", sse(chunk({ content: "a" }), end(7), usageChunk(1, 1), done));
    if (open) expect((await run(open.runtime, init)).finished.reason).toBe(FinishReason.STOP_SEQUENCE);
    open?.engine.routes.set("/v1/chat/completions", sse(chunk({ content: "a" }), end(2), usageChunk(1, 1), done));
    if (open)
      expect((await run(open.runtime, init)).finished).toMatchObject({ reason: FinishReason.STOP, stopSequence: "" });
  },
);

test("llama-server is asked for the stop string that it met, and says it before its last chunk", async () => {
  const list = models("m", { owned_by: "llamacpp", meta: { n_ctx_train: 512 } });
  const said = chunk({ content: "a" }, null, { __verbose: { stop_type: "word", stopping_word: "\n" } });
  open = await fronted({ "/v1/models": list, "/v1/chat/completions": sse(said, ...stop) });
  const ran = await run(open.runtime, { stopping: { stopStrings: ["\n"] } });
  expect(ran.finished).toMatchObject({ reason: FinishReason.STOP_SEQUENCE, stopSequence: "\n" });
  await run(open.runtime);
  expect(open.engine.to("/v1/chat/completions").map(({ body }) => body.verbose)).toEqual([true, undefined]);
});

test("a streamed tool call that ends with stop ends as tool calls", async () => {
  const call = { index: 0, id: "c1", type: "function", function: { name: "f", arguments: "" } };
  const rest = { index: 0, function: { arguments: '{"a":1}' } };
  const ran = await answered(sse(chunk({ tool_calls: [call] }), chunk({ tool_calls: [rest] }), ...stop));
  expect(ran.finished.reason).toBe(FinishReason.TOOL_CALLS);
  expect(ran.deltas.map(({ part }) => part.value)).toMatchObject([
    { index: 0, id: "c1", name: "f", arguments: "" },
    { index: 0, id: "", name: "", arguments: '{"a":1}' },
  ]);
});

test("several answers keep their indexes, and each its reason", async () => {
  const of = (index: number, delta: object, finish: string | null = null) => ({
    choices: [{ index, delta, finish_reason: finish }],
  });
  const events = [
    of(1, { content: "b" }),
    of(0, { content: "a" }),
    of(0, {}, "stop"),
    of(1, {}, "length"),
    usageChunk(3, 2),
    done,
  ];
  const ran = await answered(sse(...events), { choiceCount: 2, stopping: { maxTokens: 1 } });
  expect(ran.deltas.map(({ choiceIndex, part }) => [choiceIndex, part.value])).toEqual([
    [1, "b"],
    [0, "a"],
  ]);
  expect(ran.finished.choices).toMatchObject([
    { choiceIndex: 0, reason: FinishReason.STOP },
    { choiceIndex: 1, reason: FinishReason.LENGTH },
  ]);
});

test("llama-server's usage of each of several answers is added up, the prompt counted once", async () => {
  const of = (index: number, delta: object, finish: string | null = null) => ({
    choices: [{ index, delta, finish_reason: finish }],
  });
  const cached = (tokens: number) => ({ prompt_tokens_details: { cached_tokens: tokens } });
  const events = [of(0, { content: "a" }), of(0, {}, "stop"), usageChunk(9, 6, cached(4)), of(1, { content: "b" })];
  const list = models("m", { owned_by: "llamacpp", meta: { n_ctx: 512 } });
  const rest = [of(1, {}, "stop"), usageChunk(9, 5, cached(8)), done];
  open = await fronted({ "/v1/models": list, "/v1/chat/completions": sse(...events, ...rest) });
  const ran = await run(open.runtime, { choiceCount: 2 });
  expect(ran.finished.usage).toMatchObject({ promptTokens: 9, completionTokens: 11, cachedTokens: 4 });
});

const logprobOf = (token: string, logprob: number) => ({ token, logprob, bytes: [...Buffer.from(token)] });

test("log-probabilities come with their piece, no more alternatives than asked for", async () => {
  const content = [{ ...logprobOf("He", -0.5), id: 17, top_logprobs: [logprobOf("He", -0.5), logprobOf("Ha", -2)] }];
  const piece = { choices: [{ index: 0, delta: { content: "He" }, logprobs: { content }, finish_reason: null }] };
  const ran = await answered(sse(piece, ...stop), { logprobs: { output: true, top: 1 } });
  const [entry] = ran.deltas[0]?.logprobs ?? [];
  expect(entry).toMatchObject({ tokenId: 17, logprob: -0.5 });
  expect(Buffer.from(entry?.token ?? []).toString()).toBe("He");
  expect(entry?.top).toHaveLength(1);
});

test("log-probabilities of reasoning, which Sluice lists apart, come with the reasoning", async () => {
  const logprobs = { content: null, reasoning_content: [{ ...logprobOf("hm", -1), top_logprobs: [] }] };
  const piece = { choices: [{ index: 0, delta: { reasoning_content: "hm" }, logprobs, finish_reason: null }] };
  const ran = await answered(sse(piece, ...stop), { logprobs: { output: true } });
  expect(ran.deltas).toMatchObject([{ part: { case: "reasoning" }, logprobs: [{ logprob: -1 }] }]);
});

test("a completion's parallel lists of log-probabilities are read, and its text is text", async () => {
  const logprobs = {
    tokens: ["a", "b"],
    token_logprobs: [-0.1, -0.2],
    top_logprobs: [{ a: -0.1, c: -3 }, { b: -0.2 }],
  };
  const piece = { choices: [{ index: 0, text: "ab", logprobs, finish_reason: null }] };
  const end = { choices: [{ index: 0, text: "", finish_reason: "stop" }] };
  const init: RequestInit = {
    prompt: { form: { case: "text", value: "Once" } },
    logprobs: { output: true, top: 2 },
    echo: true,
  };
  const ran = await answered(sse(piece, end, usageChunk(1, 2), done), init, "/v1/completions");
  expect(ran.text).toBe("Onceab");
  const entries = ran.deltas.flatMap((delta) => delta.logprobs);
  expect(entries.map(({ logprob, top }) => [logprob, top.length])).toEqual([
    [expect.closeTo(-0.1), 2],
    [expect.closeTo(-0.2), 1],
  ]);
});

test("bytes cut anywhere, within characters and line ends too, give the same text", async () => {
  const whole = [chunk({ content: "你好 " }), chunk({ content: "👋🏽" }), ...stop]
    .map(sseText)
    .join("")
    .replaceAll("\n\n", "\r\n\r\n");
  const bytes = Buffer.from(whole);
  const inPieces: Handler = async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.socket?.setNoDelay(true);
    for (const byte of bytes) {
      response.write(Buffer.from([byte]));
      if (byte > 127 || byte === 13) await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };
  expect((await answered(inPieces)).text).toBe("你好 👋🏽");
});

test("half a character at the end of a piece waits for the other half; one that never comes is U+FFFD", async () => {
  const events = ['data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n', chunk({ content: "\udc4b" })];
  const ran = await answered(sse(...events, chunk({ content: "b\ud83d" }), ...stop));
  expect(ran.deltas.map(({ part }) => part.value)).toEqual(["a", "👋", "b", "\ufffd"]);
});

test("an engine's timings are its own clock's", async () => {
  const timings = { cache_n: 5, prompt_n: 7, prompt_ms: 120, predicted_n: 2, predicted_ms: 80 };
  const ran = await answered(
    sse(
      chunk({ content: "a" }, null, { timings: { ...timings, predicted_n: 1 } }),
      chunk({}, "stop", { timings }),
      done,
    ),
  );
  expect(ran.prefilled).toMatchObject({ promptTokens: 12, cachedTokens: 5 });
  expect(ran.finished.timings).toMatchObject({ prefill: { nanos: 120_000_000 }, decode: { nanos: 80_000_000 } });
});

test("connections are used again, after a stream as after an answer", async () => {
  open = await fronted({ "/v1/chat/completions": sse(chunk({ content: "a" }), ...stop) });
  for (let at = 0; at < 5; at += 1) await run(open.runtime);
  expect(open.engine.to("/v1/chat/completions")).toHaveLength(5);
  expect(open.engine.connections).toBeLessThanOrEqual(2);
});

test("the model goes by the name that the operator gives it, and by its own to the engine", async () => {
  open = await fronted(
    {
      "/v1/models": models("/weights/m.gguf", { owned_by: "llamacpp", meta: { n_ctx_train: 512, n_vocab: 100 } }),
      "/v1/chat/completions": sse(chunk({ content: "a" }), ...stop),
    },
    { env: { MODEL: "mine=/weights/m.gguf" } },
  );
  expect(open.runtime.models()).toMatchObject([{ id: "mine", contextLength: 512, runtime: "openai" }]);
  await run(open.runtime);
  expect(open.engine.to("/v1/chat/completions")[0]?.body.model).toBe("/weights/m.gguf");
});
