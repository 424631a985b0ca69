// What engines say when they fail, each in its own words, and what the node makes of it.
import { expect, test } from "vitest";
import { Code, type NodeError } from "../../node-error.ts";
import { contractPath, failureStatus, upstreamError } from "./errors.ts";

const openai = (error: Record<string, unknown>) => ({ error });

test.each([
  [
    "vLLM, with the output asked for",
    "This model's maximum context length is 16384 tokens. However, you requested 8192 output tokens and your prompt contains at least 8193 input tokens, for a total of at least 16385 tokens.",
    16384,
    8193,
  ],
  [
    "older vLLM",
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4500 in the messages, 500 in the completion). Please reduce the length of the messages or completion.",
    4096,
    4500,
  ],
  [
    "vLLM, of max_tokens",
    "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 32768 tokens and your request has 20 input tokens (100000 > 32768 - 20).",
    32768,
    20,
  ],
  ["SGLang", "The input (691,793 tokens) is longer than the model's context length (540000 tokens).", 540000, 691793],
  [
    "SGLang, of both",
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5000 tokens: 4000 tokens from the input messages and 1000 tokens for the completion.",
    4096,
    4000,
  ],
  [
    "OpenAI",
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    8192,
    9000,
  ],
  [
    "Sluice",
    "The model's context holds 2048 tokens. The messages have 3000 tokens, and up to 10 more were asked for.",
    2048,
    3000,
  ],
  ["TensorRT-LLM", "The prompt length (9000) exceeds max_num_tokens (8192)", 8192, 9000],
])("an overflow of the context is OUT_OF_RANGE with both numbers: %s", (_engine, message, context, prompt) => {
  const error = upstreamError({ status: 400, value: openai({ message, type: "BadRequestError", code: 400 }) });
  expect(error).toMatchObject({ code: Code.OUT_OF_RANGE, param: "prompt", reason: "CONTEXT_LENGTH_EXCEEDED" });
  expect(error.metadata).toEqual({ context_length: String(context), prompt_tokens: String(prompt) });
});

test("llama-server's overflow is read from its fields", () => {
  const error = {
    code: 400,
    message: "request exceeds",
    type: "exceed_context_size_error",
    n_prompt_tokens: 9,
    n_ctx: 8,
  };
  expect(upstreamError({ status: 400, value: openai(error) }).metadata).toEqual({
    context_length: "8",
    prompt_tokens: "9",
  });
});

test("an overflow without numbers is still one, in the engine's words", () => {
  const value = openai({ message: "Too much.", code: "context_length_exceeded" });
  const error = upstreamError({ status: 400, value });
  expect(error).toMatchObject({ code: Code.OUT_OF_RANGE, metadata: {} });
  expect(error.message).toContain("Too much.");
});

const row = (status: number, value: unknown = {}, headers: Record<string, string> = {}): NodeError =>
  upstreamError({ status, value, headers });

test.each([
  [429, "120", Code.RESOURCE_EXHAUSTED, 120_000],
  [529, "0.5", Code.RESOURCE_EXHAUSTED, 500],
  [503, "7", Code.UNAVAILABLE, 7_000],
  [503, "999999999", Code.UNAVAILABLE, 3_600_000],
  [502, "", Code.UNAVAILABLE, 1_000],
  [504, "soon", Code.UNAVAILABLE, 1_000],
  [408, "-3", Code.UNAVAILABLE, 1_000],
])("%i with retry-after %j is retryable after a time that means something", (status, after, code, retryAfterMs) => {
  expect(row(status, {}, { "retry-after": after })).toMatchObject({ code, retryAfterMs });
});

test("retry-after-ms and a date are read too", () => {
  expect(row(429, {}, { "retry-after-ms": "250", "retry-after": "9" }).retryAfterMs).toBe(250);
  const soon = new Date(Date.now() + 90_000).toUTCString();
  expect(row(503, {}, { "retry-after": soon }).retryAfterMs).toBeGreaterThan(60_000);
});

test.each([401, 403, 500, 302, 418])("%i is INTERNAL, without a word of the engine's", (status) => {
  const error = row(status, openai({ message: "Incorrect API key provided: sk-123" }));
  expect(error.code).toBe(Code.INTERNAL);
  expect(error.message).not.toContain("sk-123");
});

test("a missing model is NOT_FOUND, a missing endpoint UNIMPLEMENTED", () => {
  const missing = openai({
    message: "The model `x` does not exist.",
    type: "NotFoundError",
    param: "model",
    code: 404,
  });
  expect(row(404, missing)).toMatchObject({ code: Code.NOT_FOUND, param: "model" });
  expect(row(404, { detail: "Not Found" }).code).toBe(Code.UNIMPLEMENTED);
  expect(row(501, {}).code).toBe(Code.UNIMPLEMENTED);
});

test("a bad request is INVALID_ARGUMENT at the contract's field, in the engine's words and no more than some of them", () => {
  const long = openai({
    message: `n must be\n at most 4 ${"x".repeat(5_000)}`,
    param: "n",
    type: "invalid_request_error",
  });
  const error = row(400, long);
  expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, param: "choice_count" });
  expect(error.message).toMatch(/^The engine refused the request: n must be at most 4 x/);
  expect(error.message.length).toBeLessThan(600);
  const unsupported = openai({ message: "no", param: "messages[2].content", code: "unsupported_parameter" });
  expect(row(400, unsupported)).toMatchObject({ code: Code.UNIMPLEMENTED, param: "prompt.chat.messages[2]" });
});

test("FastAPI's list says place and reason, but not the input that it repeats", () => {
  const detail = [{ loc: ["body", "temperature"], msg: "must be below 2", input: { secret: "prompt text" } }];
  const error = row(422, { detail });
  expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT, param: "sampling.temperature" });
  expect(error.message).toContain("temperature: must be below 2");
  expect(error.message).not.toContain("prompt text");
});

test.each([
  [{ error: { message: "m", code: 400 } }, 400],
  [{ error: { message: "m", code: "503" } }, 503],
  [{ error: { message: "m", type: "server_error", code: "overloaded" } }, 503],
  [{ error: { message: "m", type: "server_error", code: null } }, 500],
  [{ error: { message: "m", type: "server_error", code: "timeout" } }, 504],
  [{ error: { message: "m", type: "BadRequestError" } }, 400],
  [{ error: { message: "m", type: "invalid_request_error", code: "context_length_exceeded" } }, 400],
  [{ error: { message: "m", type: "requests", code: "rate_limit_exceeded" } }, 429],
  [{ object: "error", message: "m", type: "InternalServerError", code: 500 }, 500],
  [{ error: {} }, 500],
])("a failure within a stream, %j, stands for %i", (value, status) => {
  expect(failureStatus(value)).toBe(status);
});

test("a field that the contract does not know is no field of it", () => {
  expect(contractPath("top_k")).toBe("sampling.top_k");
  expect(contractPath("tools[3].function")).toBe("prompt.chat.tools[3]");
  expect(contractPath("response_format.json_schema.schema.properties.a")).toBe(
    "constraint.json_schema.schema_json.properties.a",
  );
  expect(contractPath("response_format")).toBe("constraint");
  expect(contractPath("watermark")).toBeUndefined();
  expect(contractPath("")).toBeUndefined();
});
