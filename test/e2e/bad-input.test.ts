// Whatever is sent: a 4xx in OpenAI's whole error shape that names what is wrong, and a server that goes on.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { chat, scripted } from "../support/chat.ts";
import { type Answer, type Ask, fetchRaw } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";

const CONTEXT_LENGTH = 2_048;
const JSON_TYPE = { "content-type": "application/json" };
const USER = { role: "user", content: "hi" };
const TOOL = { type: "function", function: { name: "f" } };

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted", env: { SLUICE_CONTEXT_LENGTH: String(CONTEXT_LENGTH) } });
});

afterEach(async () => {
  const { status, text } = await chat(stack, { messages: [USER] }).answer;
  expect([status, JSON.parse(text).choices?.[0].message.content]).toEqual([200, "hi"]);
});

afterAll(() => stack?.stop());

interface Refusal {
  status: number;
  param: string | null;
  code: string | null;
}

function expectRefusal(answer: Answer, expected: Partial<Refusal>): void {
  const { error, ...rest } = JSON.parse(answer.text);
  expect({ status: answer.status, ...error }).toMatchObject(expected);
  expect(rest).toEqual({});
  expect(error).toEqual({
    message: expect.stringMatching(/\S/),
    type: "invalid_request_error",
    param: expect.toSatisfy((param: unknown) => param === null || typeof param === "string"),
    code: expect.toSatisfy((code: unknown) => code === null || typeof code === "string"),
  });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.headers["x-request-id"]).toMatch(/^req_[0-9A-Z]{26}$/);
  expect(answer.headers["x-should-retry"]).toBe("false");
  expect(answer.headers["content-type"]).toContain("application/json");
  expect(answer.text).not.toMatch(/\bat .*\.[jt]s:|Error:|node_modules/);
}

describe.each([false, true])("a parameter, with stream %s,", (stream) => {
  test.each<[string, Record<string, unknown>, string, string | null]>([
    ["no model", { model: undefined }, "model", null],
    ["a model of another type", { model: 5 }, "model", null],
    ["an empty model", { model: "" }, "model", null],
    ["no messages", { messages: undefined }, "messages", null],
    ["empty messages", { messages: [] }, "messages", null],
    ["messages that are text", { messages: "hi" }, "messages", null],
    ["a message that is null", { messages: [null] }, "messages[0]", null],
    ["a message that is text", { messages: [USER, "hi"] }, "messages[1]", null],
    ["a wrong role", { messages: [{ role: "wizard", content: "x" }] }, "messages[0].role", null],
    ["no role", { messages: [{ content: "x" }] }, "messages[0].role", null],
    ["a role of another case", { messages: [{ role: "User", content: "x" }] }, "messages[0].role", null],
    ["no content", { messages: [{ role: "user" }] }, "messages[0].content", null],
    ["content that is a number", { messages: [{ role: "user", content: 5 }] }, "messages[0].content", null],
    ["no content parts", { messages: [{ role: "user", content: [] }] }, "messages[0].content", null],
    [
      "a tool's answer to nothing",
      { messages: [{ role: "tool", tool_call_id: "c", content: "" }] },
      "messages[0].tool_call_id",
      null,
    ],
    ["max_tokens 0", { max_tokens: 0 }, "max_tokens", null],
    ["max_tokens below 0", { max_tokens: -1 }, "max_tokens", null],
    ["max_tokens as text", { max_tokens: "5" }, "max_tokens", null],
    ["max_tokens with a fraction", { max_tokens: 1.5 }, "max_tokens", null],
    ["max_tokens beyond all bounds", { max_tokens: 1e300 }, "max_tokens", null],
    ["max_completion_tokens 0", { max_completion_tokens: 0 }, "max_completion_tokens", null],
    ["two different limits", { max_tokens: 1, max_completion_tokens: 2 }, "max_tokens", null],
    ["temperature above 2", { temperature: 2.5 }, "temperature", null],
    ["temperature as text", { temperature: "hot" }, "temperature", null],
    ["top_p above 1", { top_p: 1.01 }, "top_p", null],
    ["top_k below -1", { top_k: -2 }, "top_k", null],
    ["a penalty out of range", { presence_penalty: -3 }, "presence_penalty", null],
    ["a seed with a fraction", { seed: 0.5 }, "seed", null],
    ["n 0", { n: 0 }, "n", null],
    ["more than one choice", { n: 2 }, "n", "unsupported_parameter"],
    ["an empty stop string", { stop: "" }, "stop", null],
    ["too many stop strings", { stop: Array(17).fill("x") }, "stop", null],
    ["a stop string beyond reason", { stop: ["ok", "x".repeat(2_000)] }, "stop", null],
    ["logprobs as a number", { logprobs: 3 }, "logprobs", null],
    ["top_logprobs without logprobs", { top_logprobs: 3 }, "top_logprobs", null],
    ["top_logprobs above 20", { logprobs: true, top_logprobs: 21 }, "top_logprobs", null],
    ["logit_bias by words", { logit_bias: { hello: 1 } }, "logit_bias", null],
    ["logit_bias out of range", { logit_bias: { "5": 500 } }, "logit_bias.5", null],
    ["logit_bias of a model without", { logit_bias: { "5": 1 } }, "logit_bias", "unsupported_parameter"],
    ["a tool without function", { tools: [{ type: "function" }] }, "tools[0].function", null],
    [
      "a tool with a bad name",
      { tools: [{ type: "function", function: { name: "a b" } }] },
      "tools[0].function.name",
      null,
    ],
    ["two tools of one name", { tools: [TOOL, TOOL] }, "tools[1].function.name", null],
    ["a tool_choice of nothing", { tool_choice: "required" }, "tool_choice", null],
    ["an unknown tool_choice", { tools: [TOOL], tool_choice: "maybe" }, "tool_choice", null],
    ["an unknown response_format", { response_format: { type: "xml" } }, "response_format.type", null],
    [
      "a response_format of a model without",
      { response_format: { type: "json_object" } },
      "response_format",
      "unsupported_parameter",
    ],
    [
      "a schema of a model without",
      { response_format: { type: "json_schema", json_schema: { name: "n", schema: {} } } },
      "response_format",
      "unsupported_parameter",
    ],
    ["functions", { functions: [{ name: "f" }] }, "functions", "unsupported_parameter"],
    ["audio", { modalities: ["text", "audio"] }, "modalities", "unsupported_parameter"],
    [
      "a picture",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }] },
      "messages[0].content[0].type",
      "unsupported_parameter",
    ],
    ["web search", { web_search_options: {} }, "web_search_options", "unsupported_parameter"],
    ["half a surrogate pair", { messages: [{ role: "user", content: "a\ud83d" }] }, "messages[0].content", null],
    ["half a pair in a stop string", { stop: ["\udc00"] }, "stop[0]", null],
    ["a script with a wrong key's value", { messages: scripted({ text: 5 }) }, "messages[0].content", null],
  ])("is refused by its name: %s", async (_, body, param, code) => {
    const answer = await chat(stack, { messages: [USER], stream, ...body }).answer;
    expectRefusal(answer, { status: 400, param, code });
  });

  test("is refused by its name: stream_options without stream, and wrong in it", async () => {
    const options = stream ? { include_usage: "yes" } : { include_usage: true };
    const answer = await chat(stack, { messages: [USER], stream, stream_options: options }).answer;
    expectRefusal(answer, {
      status: 400,
      param: stream ? "stream_options.include_usage" : "stream_options",
      code: null,
    });
  });

  test("is refused by its name: a model that is not there, also with a NUL or a megabyte in its name", async () => {
    for (const model of ["gpt-4o", "scripted ", "SCRIPTED", "../scripted", "scripted\u0000", "模型"]) {
      const answer = await chat(stack, { messages: [USER], stream, model }).answer;
      expectRefusal(answer, { status: 404, param: "model", code: "model_not_found" });
    }
    const long = await chat(stack, { messages: [USER], stream, model: "m".repeat(1 << 20) }).answer;
    expectRefusal(long, { status: 400, param: "model" });
    expect(long.text.length).toBeLessThan(1_000);
  });

  test("is refused with both numbers: a prompt longer than the context, alone and with what it asks for", async () => {
    const prompt = [{ role: "user", content: "four".repeat(CONTEXT_LENGTH + 10) }];
    const tooLong = await chat(stack, { messages: prompt, stream }).answer;
    expectRefusal(tooLong, { status: 400, param: "messages", code: "context_length_exceeded" });
    const [context, tokens] = (JSON.parse(tooLong.text).error.message.match(/\d+/g) ?? []).map(Number);
    expect(context).toBe(CONTEXT_LENGTH);
    expect(tokens).toBeGreaterThanOrEqual(CONTEXT_LENGTH + 10);
    const asked = await chat(stack, { messages: [USER], stream, max_tokens: CONTEXT_LENGTH }).answer;
    expectRefusal(asked, { status: 400, code: "context_length_exceeded" });
    expect(asked.text).toContain(String(CONTEXT_LENGTH));
  });
});

describe("a body", () => {
  const open = `{"model":"scripted","messages":[{"role":"user","content":`;

  test.each<[string, string | Buffer, number]>([
    ["nothing", "", 400],
    ["white space", "   ", 400],
    ["no JSON", "hello", 400],
    ["half of JSON", `${open}"hi"}`, 400],
    ["JSON and more", `${open}"hi"}]} {}`, 400],
    ["a trailing comma", `${open}"hi"}],}`, 400],
    ["single quotes", "{'model':'scripted'}", 400],
    ["a comment", `${open}"hi"}] /* c */}`, 400],
    ["NaN", `${open}"hi"}],"temperature":NaN}`, 400],
    ["a list", "[]", 400],
    ["null", "null", 400],
    ["a number", "5", 400],
    ["a string", `"hi"`, 400],
    ["a NUL byte in a string", `${open}"a\u0000b"}]}`, 400],
    ["a NUL byte after the end", `${open}"hi"}]}\u0000`, 400],
    ["a line break in a string", `${open}"a\nb"}]}`, 400],
    ["a bad escape", `${open}"\\x41"}]}`, 400],
    ["UTF-16", Buffer.from(`${open}"hi"}]}`, "utf16le"), 400],
    ["Latin-1", Buffer.from(`${open}"h\u00e9"}]}`, "latin1"), 400],
    ["an overlong encoding", Buffer.concat([Buffer.from(`${open}"`), Buffer.of(0xc0, 0xaf), Buffer.from(`"}]}`)]), 400],
    [
      "an encoded surrogate",
      Buffer.concat([Buffer.from(`${open}"`), Buffer.of(0xed, 0xa0, 0x80), Buffer.from(`"}]}`)]),
      400,
    ],
    ["half a character at its end", Buffer.concat([Buffer.from(`${open}"hi"}]}`), Buffer.of(0xf0, 0x9f)]), 400],
    ["lists nested 100,000 deep", `${open}${"[".repeat(100_000)}${"]".repeat(100_000)}}]}`, 400],
    ["objects nested 100,000 deep", `${`{"a":`.repeat(100_000)}1${"}".repeat(100_000)}`, 400],
    ["10 MB", `${open}"${"x".repeat(10 << 20)}"}]}`, 413],
    ["10 MB of nothing", " ".repeat(10 << 20), 413],
  ])("is refused: %s", async (_, body, status) => {
    const answer = await chat(stack, {}, { headers: JSON_TYPE, body }).answer;
    expectRefusal(answer, { status, param: null, code: null });
  });

  test("is refused when it is 10 MB whose length nobody told", async () => {
    const pieces = Array.from({ length: 160 }, () => Buffer.alloc(1 << 16, " "));
    const answer = await chat(stack, {}, { headers: JSON_TYPE, body: pieces }).answer;
    expectRefusal(answer, { status: 413 });
  });

  test.each<[string, Record<string, string>]>([
    ["text", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["a form in parts", { "content-type": "multipart/form-data; boundary=x" }],
    ["compressed", { ...JSON_TYPE, "content-encoding": "gzip" }],
  ])("is refused when it says that it is %s", async (_, headers) => {
    const answer = await chat(stack, {}, { headers, body: `${open}"hi"}]}` }).answer;
    expectRefusal(answer, { status: 415 });
  });

  test("may have members named as Object's own, which change nothing", async () => {
    const body = `{"__proto__":{"stream":true},"constructor":{"prototype":{}},${open.slice(1)}"hi"}]}`;
    const { status, headers, text } = await chat(stack, {}, { headers: JSON_TYPE, body }).answer;
    expect(status).toBe(200);
    expect(headers["x-sluice-ignored"]).toBe("__proto__, constructor");
    expect(JSON.parse(text).choices[0].message.content).toBe("hi");
  });

  test("may hold an escaped NUL and other control characters, which come back", async () => {
    const content = "a\u0000b\u0001\u001f\u007f\r\n";
    const { text } = await chat(stack, { messages: [{ role: "user", content }] }).answer;
    expect(JSON.parse(text).choices[0].message.content).toBe(content);
  });
});

describe("a key", () => {
  const right = (): string => stack.apiKey;

  test.each<[string, () => Ask]>([
    ["is not there", () => ({})],
    ["is empty", () => ({ headers: { authorization: "" } })],
    ["is a scheme alone", () => ({ headers: { authorization: "Bearer" } })],
    ["is spaces", () => ({ headers: { authorization: "Bearer     " } })],
    ["has no scheme", () => ({ headers: { authorization: right() } })],
    ["has another scheme", () => ({ headers: { authorization: `Basic ${btoa(`:${right()}`)}` } })],
    ["is in another's form", () => ({ key: "sk-proj-abcdef" })],
    ["was never made", () => ({ key: `sk-sluice-${"A".repeat(43)}` })],
    ["lacks its last character", () => ({ key: right().slice(0, -1) })],
    ["has one more", () => ({ key: `${right()}A` })],
    ["is in another case", () => ({ key: right().toUpperCase() })],
    ["has a space within", () => ({ key: `${right().slice(0, 20)} ${right().slice(20)}` })],
    ["comes twice", () => ({ headers: { authorization: [`Bearer ${right()}`, `Bearer ${right()}`] } })],
    ["is in quotes", () => ({ key: `"${right()}"` })],
    ["is 8 KB of junk", () => ({ key: "x".repeat(8_000) })],
    ["is the node's secret", () => ({ key: stack.nodeSecret })],
    ["is in the query alone", () => ({})],
  ])("is refused when it %s", async (what, ask) => {
    const query = what.includes("query") ? `?key=${right()}&api_key=${right()}` : "";
    const body = { model: stack.model, messages: [USER] };
    const answer = await fetchRaw(`${stack.url}/v1/chat/completions${query}`, { body, ...ask() });
    expectRefusal(answer, { status: 401, param: null, code: "invalid_api_key" });
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
    expect(answer.text).not.toContain(right());
  });

  test("may follow several spaces, and a scheme in any case", async () => {
    for (const scheme of ["bearer ", "BEARER  ", "Bearer    "]) {
      const headers = { authorization: `${scheme}${right()}` };
      expect((await fetchRaw(`${stack.url}/v1/models`, { headers })).status).toBe(200);
    }
  });

  test("of the one kind does not open the doors of the other", async () => {
    const asAdmin = await fetchRaw(`${stack.url}/v1/models`, { key: stack.adminKey });
    const asUser = await fetchRaw(`${stack.url}/admin/v1/keys`, { key: right() });
    for (const { status, text } of [asAdmin, asUser]) {
      expect([status, JSON.parse(text).error]).toEqual([
        403,
        { message: expect.any(String), type: "permission_error", param: null, code: null },
      ]);
    }
  });
});

test("no line of the logs holds a prompt, a key or a secret, and none is an error", async () => {
  await chat(stack, { messages: [{ role: "user", content: "a-very-private-word" }] }).answer;
  await chat(stack, { messages: [{ role: "user", content: "a-very-private-word" }], n: 0 }).answer;
  const logs = stack.logs();
  for (const secret of ["a-very-private-word", stack.apiKey, stack.adminKey, stack.nodeSecret]) {
    expect(logs).not.toContain(secret);
  }
  expect([...stack.edgeEvents(), ...stack.nodeEvents()].filter(({ level }) => level === "error")).toEqual([]);
});
