// The HTTP target against servers that refuse, break or hang.
import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { type FakeBehaviour, sendJson, startFakeServer } from "./fake-server.ts";
import { HttpTarget } from "./http-target.ts";
import { BenchError, type RoundRecord } from "./target.ts";

const never = new AbortController().signal;
const sampling = { maxTokens: 3, temperature: 0, ignoreEos: false };
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function targetOf(
  behaviour: FakeBehaviour,
  options: { key?: string; model?: string; timeoutMs?: number } = {},
): Promise<HttpTarget> {
  const server = await startFakeServer(behaviour);
  const { key, model, timeoutMs = 5000 } = options;
  const target = new HttpTarget({ baseUrl: `${server.origin}/v1`, key, keyFlag: "--key", model, timeoutMs });
  closers.push(
    () => target.close(),
    () => server.close(),
  );
  return target;
}

describe("opening a target that can't be measured says why in one sentence", () => {
  it("nobody listens", async () => {
    const server = await startFakeServer();
    await server.close();
    const baseUrl = `${server.origin}/v1`;
    const target = new HttpTarget({ baseUrl, key: undefined, keyFlag: "--key", model: undefined, timeoutMs: 5000 });
    await expect(target.open(never)).rejects.toThrow(
      new BenchError(`${baseUrl} can't be reached (connection refused); is the server running?`),
    );
  });

  it("the key is wrong", async () => {
    const target = await targetOf({ key: "right" }, { key: "wrong" });
    await expect(target.open(never)).rejects.toThrow(/refuses the key \(401: Incorrect API key provided\.\); .*--key/);
  });

  it("the key is missing", async () => {
    await expect((await targetOf({ key: "right" })).open(never)).rejects.toThrow("wants a key");
  });

  it("the model is unknown", async () => {
    const target = await targetOf({ models: ["a", "b"] }, { model: "c" });
    await expect(target.open(never)).rejects.toThrow('has no model "c"; it has: a, b');
  });

  it("there is no model", async () => {
    await expect((await targetOf({ models: [] })).open(never)).rejects.toThrow("lists no model");
  });

  it("it is another kind of server", async () => {
    const server = await startFakeServer();
    closers.push(() => server.close());
    const baseUrl = `${server.origin}/elsewhere`;
    const target = new HttpTarget({ baseUrl, key: undefined, keyFlag: "--key", model: undefined, timeoutMs: 5000 });
    await expect(target.open(never)).rejects.toThrow("answers 404 (No such path.)");
  });

  it("it answers the first request with an error", async () => {
    const target = await targetOf({
      intercept: (response) => {
        sendJson(response, 503, { error: { message: "Starting." } });
        return true;
      },
    });
    await target.open(never);
    await expect(target.countPromptTokens("x", never)).rejects.toThrow("can't be measured: HTTP 503: Starting.");
  });
});

async function roundOver(answer: (response: ServerResponse) => void, timeoutMs?: number): Promise<RoundRecord> {
  const intercept = (response: ServerResponse): boolean => {
    answer(response);
    return true;
  };
  const target = await targetOf({ intercept }, timeoutMs === undefined ? {} : { timeoutMs });
  await target.open(never);
  return target.round({ streams: [["a"], ["b"]], sampling }, never);
}

function sse(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { "content-type": "text/event-stream" });
}

const token = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n';

describe("a failed request is counted with its reason and never as tokens", () => {
  it.each<[string, (response: ServerResponse) => void, string]>([
    ["an error status", (r) => sendJson(r, 429, { error: { message: "Slow down." } }), "HTTP 429: Slow down."],
    ["an error status without JSON", (r) => r.writeHead(502).end("bad gateway"), "HTTP 502: bad gateway"],
    ["a redirect", (r) => r.writeHead(302, { location: "/login" }).end(), "HTTP 302: redirects to /login"],
    ["no stream", (r) => sendJson(r, 200, {}), "asked for a stream, got application/json"],
    ["an error event", (r) => sse(r).end(`${token}data: {"error":{"message":"died"}}\n\n`), "error event: died"],
    ["an end without [DONE]", (r) => sse(r).end(token), "the stream ended without [DONE]"],
    ["an event that is no JSON", (r) => sse(r).end("data: {oops\n\n"), "an event is no JSON object: {oops"],
    ["a torn connection", (r) => sse(r).write(token, () => r.destroy()), "connection reset"],
  ])("%s", async (_name, answer, reason) => {
    const record = await roundOver(answer);
    expect(record.errors).toEqual(new Map([[reason, 2]]));
    expect(record.errorCount).toBe(2);
    expect(record.requests).toBe(2);
    expect(record.completionTokens).toBe(0);
  });

  it("a stream of pings without end", async () => {
    let timer: NodeJS.Timeout | undefined;
    const ping = (response: ServerResponse): void => {
      sse(response);
      timer = setInterval(() => response.write(": ping\n\n"), 10);
      response.on("close", () => clearInterval(timer));
    };
    const record = await roundOver(ping, 200);
    expect([...record.errors]).toEqual([["no end within 0.2 s (--timeout)", 2]]);
  });

  it("keeps a bounded number of different reasons", async () => {
    let count = 0;
    const target = await targetOf({
      intercept: (response) => {
        count += 1;
        sendJson(response, 500, { error: { message: `failure ${count}` } });
        return true;
      },
    });
    await target.open(never);
    const record = await target.round({ streams: [Array.from({ length: 40 }, () => "a")], sampling }, never);
    expect(record.errorCount).toBe(40);
    expect(record.errors.size).toBe(17);
    expect(record.errors.get("other errors")).toBe(24);
  });
});

it("an interrupted round rejects with the interruption and hangs up", async () => {
  const controller = new AbortController();
  const closed = new Promise<void>((resolve) => {
    const intercept = (response: ServerResponse): boolean => {
      sse(response).write(token);
      response.on("close", resolve);
      return true;
    };
    targetOf({ intercept }).then(async (target) => {
      await target.open(never);
      const round = target.round({ streams: [["a"]], sampling }, controller.signal);
      setTimeout(() => controller.abort(new BenchError("interrupted")), 50);
      await expect(round).rejects.toThrow("interrupted");
    });
  });
  await closed;
});
