// Chat completions that work: bodies, streams, heartbeats and what the node was asked.
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { admitted, createFakeNode, finished, prefilled, said } from "../testing/fake-node.ts";
import { HeldClock, settled } from "../testing/held-clock.ts";
import { dataOf, readSse } from "../testing/openai-stream.ts";

let clock: HeldClock;
let edge: TestEdge;
let key: string;

beforeAll(async () => {
  clock = new HeldClock();
  edge = await createTestEdge({ clock });
  key = (await edge.createKey()).key;
});

beforeEach(() => {
  edge.node.generate = createFakeNode().generate;
});

const body = { model: "scripted", messages: [{ role: "user", content: "hi" }] };

describe("a unary completion", () => {
  test.each(["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/"])(
    "is OpenAI's object at %s",
    async (path) => {
      const response = await edge.post(path, body, key);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("application/json");
      const completion = await response.json<Record<string, unknown>>();
      expect(completion).toMatchObject({
        object: "chat.completion",
        model: "scripted",
        created: Math.floor(clock.now() / 1000),
        choices: [{ message: { role: "assistant", content: "Hello world" }, finish_reason: "stop" }],
        usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 },
        system_fingerprint: "fp_test",
      });
      expect(completion.id).toBe(`chatcmpl-${response.headers.get("x-request-id")?.slice("req_".length)}`);
    },
  );

  test("names the parameters that no API has", async () => {
    const response = await edge.post("/v1/chat/completions", { ...body, frob: 1, "h\u00e9\n": 2, user: "u" }, key);
    expect(response.headers.get("x-sluice-ignored")).toBe("frob, h%C3%A9%0A");
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`\ud800${"n".repeat(500)}${index}`, 1]));
    const bounded = await edge.post("/v1/chat/completions", { ...body, ...many }, key);
    expect(bounded.status).toBe(200);
    expect(bounded.headers.get("x-sluice-ignored")?.length).toBeLessThan(4096);
    const plain = await edge.post("/v1/chat/completions", body, key);
    expect(plain.headers.has("x-sluice-ignored")).toBe(false);
  });

  test("commits its head a second after the prompt is in, then writes a space a second until the answer", async () => {
    const go = Promise.withResolvers<void>();
    edge.node.generate = async function* () {
      yield* [admitted, prefilled];
      await go.promise;
      yield* [said("late"), finished()];
    };
    let answered = false;
    const pending = edge.post("/v1/chat/completions", body, key).then((response) => {
      answered = true;
      return response;
    });
    await settled();
    await clock.advance(999);
    expect(answered).toBe(false);
    await clock.advance(1);
    const response = await pending;
    expect(response.status).toBe(200);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    const text = response.text();
    await clock.advance(2000);
    go.resolve();
    expect(await text).toMatch(/^ {3}\{"id":/);
    expect(JSON.parse(await text).choices[0].message.content).toBe("late");
    expect(clock.pending).toBe(0);
  });
});

describe("a stream", () => {
  test("is the role, the deltas, one finish, and [DONE], under headers that no proxy buffers", async () => {
    const response = await edge.post("/v1/chat/completions", { ...body, stream: true }, key);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(response.headers.get("cache-control")).toBe("no-cache, no-transform");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    const events = dataOf(await response.text());
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1);
    expect(chunks.map((chunk) => chunk.choices[0].delta)).toEqual([
      { role: "assistant", content: "", refusal: null },
      { content: "Hello" },
      { content: " world" },
      {},
    ]);
    expect(chunks.map((chunk) => chunk.choices[0].finish_reason)).toEqual([null, null, null, "stop"]);
    for (const field of ["id", "created", "model", "system_fingerprint", "object"]) {
      expect(new Set(chunks.map((chunk) => chunk[field])).size).toBe(1);
    }
    expect(clock.pending).toBe(0);
  });

  test("has its head out as soon as the node admitted the request, before any token", async () => {
    const go = Promise.withResolvers<void>();
    edge.node.generate = async function* () {
      yield admitted;
      await go.promise;
      yield* [prefilled, said("x"), finished()];
    };
    const response = await edge.post("/v1/chat/completions", { ...body, stream: true }, key);
    expect(response.status).toBe(200);
    go.resolve();
    expect(dataOf(await response.text()).at(-1)).toBe("[DONE]");
  });

  test("pings every 250 ms until the first delta, and then only after silence, never for 15 s", async () => {
    const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    edge.node.generate = async function* () {
      yield* [admitted, prefilled];
      await steps[0].promise;
      yield said("one");
      await steps[1].promise;
      yield finished();
    };
    const reader = readSse(await edge.post("/v1/chat/completions", { ...body, stream: true }, key));
    for (let beat = 0; beat < 3; beat++) {
      const next = reader.next();
      await clock.advance(250);
      expect(await next).toBe(": ping\n\n");
    }
    steps[0].resolve();
    expect(await reader.next()).toContain('"role":"assistant"');
    expect(await reader.next()).toContain('"content":"one"');
    let pings = 0;
    const waiting = reader.next().then((block) => {
      if (block === ": ping\n\n") pings++;
    });
    await clock.advance(9000);
    expect(pings).toBe(0);
    await clock.advance(6000);
    await waiting;
    expect(pings).toBe(1);
    steps[1].resolve();
    expect(dataOf(await reader.rest()).at(-1)).toBe("[DONE]");
  });

  test("writes events that came together in one write", async () => {
    // The stand-in's events cross no network: all of an answer is one piece.
    const { node } = edge;
    const split = node.fetch;
    node.fetch = async (input, init) => {
      const response = await split(input, init);
      return new Response(await response.arrayBuffer(), response);
    };
    const joined = await createTestEdge({
      clock,
      bindings: { ...edge.bindings, NODE: { fetch: node.fetch } as unknown as Fetcher },
    });
    const response = await joined.post("/v1/chat/completions", { ...body, stream: true }, key);
    node.fetch = split;
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const writes: string[] = [];
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      writes.push(new TextDecoder().decode(piece.value));
    }
    expect(writes).toHaveLength(1);
    expect(dataOf(writes.join("")).at(-1)).toBe("[DONE]");
  });
});

describe("a client that hangs up", () => {
  const endless = async function* (_request: unknown, signal: AbortSignal) {
    yield* [admitted, prefilled];
    for (let count = 1; !signal.aborted; count++) {
      yield said("x", count);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };

  test.each([
    ["stream", true],
    ["unary answer", false],
  ])("ends the work of its %s on the node and is logged as 499", async (_name, stream) => {
    edge.node.generate = endless;
    const lines = vi.spyOn(console, "log");
    const before = edge.node.aborted;
    const client = new AbortController();
    const pending = edge.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ ...body, stream }),
      signal: client.signal,
    });
    await settled();
    client.abort();
    if (stream) await (await pending).text().catch(() => undefined);
    else expect((await pending).status).toBe(499);
    await vi.waitFor(() => expect(edge.node.aborted).toBe(before + 1));
    const line = lines.mock.calls.map(([text]) => JSON.parse(text)).find(({ event }) => event === "request");
    expect(line).toMatchObject({ status: 499, error: "canceled", model: "scripted", stream });
    expect(line.completion_tokens).toBeGreaterThan(0);
    lines.mockRestore();
    expect(clock.pending).toBe(0);
  });

  test("ends the work when only its reading side is closed", async () => {
    edge.node.generate = endless;
    const before = edge.node.aborted;
    const reader = readSse(await edge.post("/v1/chat/completions", { ...body, stream: true }, key));
    await reader.next();
    await reader.cancel();
    await vi.waitFor(() => expect(edge.node.aborted).toBe(before + 1));
    expect(clock.pending).toBe(0);
  });
});

describe("the node", () => {
  test("is called with the shared secret, the deadline and the client's trace", async () => {
    await edge.fetch("/v1/chat/completions", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${key}`,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      },
      body: JSON.stringify(body),
    });
    const headers = edge.node.headers.at(-1);
    expect(headers?.get("authorization")).toBe(`Bearer ${edge.bindings.SLUICE_NODE_SECRET}`);
    expect(headers?.get("grpc-timeout")).toBe("600000m");
    expect(headers?.get("traceparent")).toBe("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    expect(edge.node.requests.at(-1)).toMatchObject({
      model: "scripted",
      tenant: expect.stringMatching(/^prj_default\/key_\w+$/),
    });
  });
});
