// Every byte of an answer on the real stack, as curl would see it.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, chunksOf, contentOf, eventsOf, scripted } from "../support/chat.ts";
import { type Exchange, fetchRaw } from "../support/exchange.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
/** Takes a quarter of a minute, so it runs beside the other tests. */
let silent: Exchange;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted" });
  silent = chat(stack, { messages: scripted({ text: "ab", chunks: 2, delay_ms: 17_000 }), stream: true });
});

afterAll(() => stack?.stop());

const PING = ": ping\n\n";

describe("a stream", () => {
  test("is, byte for byte, pings, role, deltas, one end, usage and [DONE]", async () => {
    const { text, status } = await chat(stack, {
      messages: scripted({ text: "Hello wörld", chunks: 2, prefill_ms: 700, usage: { prompt_tokens: 9 } }),
      stream: true,
      stream_options: { include_usage: true },
    }).answer;
    expect(status).toBe(200);
    const [first] = chunksOf(text);
    const head = /^data: (\{"id":"chatcmpl-[0-9A-Z]{26}".*?),"choices"/m.exec(text)?.[1];
    expect(JSON.parse(`${head}}`)).toEqual({
      id: first?.id,
      object: "chat.completion.chunk",
      created: expect.toSatisfy((s: number) => Number.isInteger(s) && Math.abs(s - Date.now() / 1000) < 60),
      model: "scripted",
      system_fingerprint: "fp_scripted",
    });
    const chunk = (delta: string, finish: string): string =>
      `data: ${head},"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}],"usage":null}\n\n`;
    const details =
      `"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,` +
      `"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0},` +
      `"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":9`;
    expect(text.replace(new RegExp(`^(${PING})+`), "")).toBe(
      chunk(`{"role":"assistant","content":"","refusal":null}`, "null") +
        chunk(`{"content":"Hello"}`, "null") +
        chunk(`{"content":" wörld"}`, "null") +
        chunk("{}", `"stop"`) +
        `data: ${head},"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,${details}}}\n\n` +
        "data: [DONE]\n\n",
    );
  });

  test("has no usage member at all when none was asked for", async () => {
    const { text } = await chat(stack, { messages: scripted({ text: "a" }), stream: true }).answer;
    expect(text).not.toContain("usage");
    expect(eventsOf(text).at(-1)).toBe("[DONE]");
  });

  test("has the headers that keep proxies from holding or changing it, also for who takes gzip", async () => {
    const headers = { "accept-encoding": "gzip, br" };
    const ask = { headers };
    const answer = await chat(stack, { messages: scripted({ text: "a" }), stream: true }, ask).answer;
    expect(answer.headers).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
      "transfer-encoding": "chunked",
      "x-request-id": expect.stringMatching(/^req_[0-9A-Z]{26}$/),
      "access-control-allow-origin": "*",
    });
    expect(answer.headers).not.toHaveProperty("content-encoding");
    expect(answer.headers).not.toHaveProperty("content-length");
    expect(answer.text.startsWith("data: {") || answer.text.startsWith(PING)).toBe(true);
  });

  test("is kept alive every 250 ms to 1 s until its first delta, from its head on", async () => {
    const stream = chat(stack, { messages: scripted({ text: "a", prefill_ms: 3_000 }), stream: true });
    const headAt = performance.now();
    await stream.head;
    expect(performance.now() - headAt).toBeLessThan(1_000);
    const { pieces } = await stream.answer;
    const pings = pieces.filter(({ text }) => text.startsWith(PING));
    expect(pings.length).toBeGreaterThanOrEqual(3);
    const times = [...pings.map(({ atMs }) => atMs), pieces.find(({ text }) => text.includes("data:"))?.atMs ?? 0];
    const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    expect(Math.max(times[0] ?? 0, ...gaps)).toBeLessThan(1_100);
  });

  test("comes delta by delta, not at its end", async () => {
    const { pieces } = await chat(stack, { messages: scripted({ chunks: 4, delay_ms: 300 }), stream: true }).answer;
    const deltas = pieces.filter(({ text }) => text.includes(`"content":"`)).map(({ atMs }) => atMs);
    expect(deltas.length).toBeGreaterThanOrEqual(4);
    expect((deltas.at(-1) ?? 0) - (deltas[0] ?? 0)).toBeGreaterThan(700);
  });

  test("that fails after its first byte ends in one error event and no [DONE]", async () => {
    const script = { text: "one two three four", chunks: 4, fail_after: 2, fail: "UNAVAILABLE" };
    const { status, text } = await chat(stack, { messages: scripted(script), stream: true }).answer;
    expect(status).toBe(200);
    const events = eventsOf(text);
    expect(events).not.toContain("[DONE]");
    expect(events.at(-1)).toEqual({
      error: { message: expect.any(String), type: "server_error", param: null, code: "overloaded" },
    });
    expect(text.match(/"error":/g)).toHaveLength(1);
    expect(text).not.toContain(`"finish_reason":"`);
    expect(text.match(/"content":"[^"]/g)).toHaveLength(2);
  });

  test("that is refused before its first byte has the failure's own status and no event", async () => {
    const refused = { messages: scripted({ fail: "overloaded", retry_after_ms: 1_500 }), stream: true };
    const { status, headers, text } = await chat(stack, refused).answer;
    expect(status).toBe(503);
    expect(headers).toMatchObject({ "retry-after": "2", "retry-after-ms": "1500", "x-should-retry": "true" });
    expect(headers["content-type"]).toContain("application/json");
    expect(JSON.parse(text).error.code).toBe("overloaded");
  });
});

describe("text outside ASCII", () => {
  const words = "naïve 漢字かな 👩‍👩‍👧‍👦 🇩🇪 ﷽ \u0000\u2028\u2029 é";

  test("survives a request whose bytes come one by one, and a delta for each character", async () => {
    const body = Buffer.from(
      JSON.stringify({ model: "scripted", messages: scripted({ text: words, chunks: 1_000 }), stream: true }),
    );
    const pieces = [...body].map((byte) => Buffer.of(byte));
    const headers = { "content-type": "application/json" };
    const { text } = await chat(stack, {}, { headers, body: pieces }).answer;
    expect(contentOf(text)).toBe(words);
    expect(text).not.toContain("\ufffd");
    const deltas = chunksOf(text).map(({ choices }) => choices[0]?.delta.content ?? "");
    expect(deltas.every((delta) => delta.isWellFormed())).toBe(true);
  });

  test("is the same in a whole answer, and in escapes", async () => {
    const escaped = JSON.stringify({ model: "scripted", messages: [{ role: "user", content: words }] }).replace(
      /[^ -~]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    const headers = { "content-type": "application/json" };
    const { text } = await chat(stack, {}, { headers, body: escaped }).answer;
    expect(JSON.parse(text).choices[0].message.content).toBe(words);
  });
});

describe("a whole answer", () => {
  test("that is slow begins with a space a second and is still JSON", async () => {
    const slow = { messages: scripted({ text: "slow", chunks: 4, delay_ms: 1_200 }) };
    // As all SDKs do: what is compressed on the way is held back until its end.
    const ask = { headers: { "accept-encoding": "gzip, deflate, br" } };
    const { text, headers, pieces } = await chat(stack, slow, ask).answer;
    expect(text).toMatch(/^ {2,4}\{"id":/);
    expect(headers["content-type"]).toBe("application/json");
    expect(JSON.parse(text).choices[0]).toEqual({
      index: 0,
      message: { role: "assistant", content: "slow", refusal: null },
      logprobs: null,
      finish_reason: "stop",
    });
    expect(pieces[0]?.atMs).toBeLessThan(2_500);
  });

  test("that is quick has no space and its length", async () => {
    const { text } = await chat(stack, { messages: scripted({ text: "quick" }) }).answer;
    expect(text.startsWith("{")).toBe(true);
  });

  test("that fails after its head is an error body under that 200; before it, the failure's status", async () => {
    const late = { text: "a b c d", chunks: 4, delay_ms: 900, fail_after: 3, fail: "internal" };
    const answer = await chat(stack, { messages: scripted(late) }).answer;
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toEqual({
      error: { message: expect.any(String), type: "server_error", param: null, code: null },
    });
    const early = await chat(stack, { messages: scripted({ ...late, delay_ms: 0 }) }).answer;
    expect(early.status).toBe(500);
  });

  test("says what its stream says", async () => {
    const script = { reasoning: "hm", text: "it is so", chunks: 3, usage: { cached_tokens: 2 } };
    const whole = JSON.parse((await chat(stack, { messages: scripted(script) }).answer).text);
    const options = { stream: true, stream_options: { include_usage: true } };
    const { text } = await chat(stack, { messages: scripted(script), ...options }).answer;
    expect(contentOf(text)).toBe(whole.choices[0].message.content);
    expect(chunksOf(text).at(-1)?.usage).toEqual(whole.usage);
  });
});

describe("every path", () => {
  test("may be read by any site's script", async () => {
    const origin = { origin: "https://app.example" };
    const preflight = await fetchRaw(`${stack.url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        ...origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.text).toBe("");
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": "*",
      "access-control-allow-methods": expect.stringContaining("POST"),
      "access-control-allow-headers": expect.stringContaining("x-stainless-lang"),
      "access-control-max-age": "86400",
    });
    for (const path of ["/v1/chat/completions", "/v1/models", "/nowhere"]) {
      const refused = await fetchRaw(stack.url + path, { headers: origin });
      expect(refused.status).toBeGreaterThanOrEqual(400);
      expect(refused.headers["access-control-allow-origin"]).toBe("*");
      expect(refused.headers["access-control-expose-headers"]).toContain("x-request-id");
    }
  });

  test("answers HEAD as GET, without the body", async () => {
    for (const path of ["/", "/healthz", "/readyz", "/v1/models", "/models", `/v1/models/${stack.model}`]) {
      const { status, text, headers } = await fetchRaw(stack.url + path, { method: "HEAD", key: stack.apiKey });
      expect([path, status, text]).toEqual([path, 200, ""]);
      expect(headers["x-request-id"]).toMatch(/^req_/);
    }
  });

  test.each([
    ["GET", "/nowhere", 404],
    ["POST", "/v1/nowhere", 404],
    ["HEAD", "/nowhere", 404],
    ["GET", "/v1/chat/completions", 405],
    ["PUT", "/v1/chat/completions", 405],
    ["HEAD", "/v1/chat/completions", 405],
    ["POST", "/v1/models", 405],
    ["DELETE", "/chat/completions", 405],
    ["PATCH", "/admin/v1/keys", 405],
    ["POST", "/healthz", 405],
  ])("that is wrong is JSON in the error's shape: %s %s is a %i", async (method, path, status) => {
    const answer = await fetchRaw(stack.url + path, { method, key: stack.apiKey });
    expect(answer.status).toBe(status);
    expect(answer.headers["x-request-id"]).toMatch(/^req_/);
    if (status === 405) expect(answer.headers.allow).toContain("OPTIONS");
    if (method === "HEAD") return;
    expect(JSON.parse(answer.text)).toEqual({
      error: { message: expect.any(String), type: "invalid_request_error", param: null, code: null },
    });
  });
});

test("a stream that falls silent after its first delta is pinged within 15 s", async () => {
  const { pieces, text } = await silent.answer;
  const first = pieces.find((piece) => piece.text.includes(`"content":"a"`))?.atMs ?? 0;
  const ping =
    pieces.find((piece) => piece.atMs > first && piece.text.includes(PING))?.atMs ?? Number.POSITIVE_INFINITY;
  expect(ping - first).toBeLessThanOrEqual(15_500);
  expect(contentOf(text)).toBe("ab");
});
