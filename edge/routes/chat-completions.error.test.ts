// Chat completions that fail: each with its status, OpenAI's error shape and the client's own names.
import { Code } from "@connectrpc/connect";
import { beforeAll, describe, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { admitted, prefilled, said, typedError } from "../testing/fake-node.ts";
import { HeldClock, settled } from "../testing/held-clock.ts";
import { dataOf } from "../testing/openai-stream.ts";

let clock: HeldClock;
let edge: TestEdge;
let key: string;

beforeAll(async () => {
  clock = new HeldClock();
  edge = await createTestEdge({ clock });
  key = (await edge.createKey()).key;
});

const body = { model: "scripted", messages: [{ role: "user", content: "hi" }] };

interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

async function refusal(error: Error, request: Record<string, unknown> = {}) {
  edge.node.generate = async function* () {
    yield* [];
    throw error;
  };
  const response = await edge.post("/v1/chat/completions", { ...body, ...request }, key);
  return { response, ...(await response.json<ErrorBody>()) };
}

describe("a refusal by the node", () => {
  test.each([
    [Code.InvalidArgument, 400, "invalid_request_error", null, "false"],
    [Code.FailedPrecondition, 400, "invalid_request_error", null, "false"],
    [Code.OutOfRange, 400, "invalid_request_error", "context_length_exceeded", "false"],
    [Code.Unimplemented, 400, "invalid_request_error", "unsupported_parameter", "false"],
    [Code.ResourceExhausted, 503, "server_error", "overloaded", "true"],
    [Code.Unavailable, 503, "server_error", "overloaded", "true"],
    [Code.DeadlineExceeded, 504, "server_error", "timeout", "true"],
    [Code.Internal, 500, "server_error", null, "true"],
    [Code.Unauthenticated, 500, "server_error", null, "true"],
    [Code.PermissionDenied, 500, "server_error", null, "true"],
  ])("with gRPC status %i is HTTP %i", async (code, status, type, openaiCode, retry) => {
    for (const stream of [false, true]) {
      const { response, error } = await refusal(typedError(code, "Words."), { stream });
      expect(response.status).toBe(status);
      expect(Object.keys(error).toSorted()).toEqual(["code", "message", "param", "type"]);
      expect(error).toMatchObject({ type, code: openaiCode, param: null });
      expect(response.headers.get("x-should-retry")).toBe(retry);
      expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9A-Z]{26}$/);
    }
  });

  test("for an unknown model is a 404 that names the model", async () => {
    const { response, error } = await refusal(
      typedError(Code.NotFound, 'There is no model "x".', { metadata: { param: "model" } }),
    );
    expect(response.status).toBe(404);
    expect(error).toEqual({
      message: 'There is no model "x".',
      type: "invalid_request_error",
      param: "model",
      code: "model_not_found",
    });
  });

  test("for a prompt that does not fit says both numbers and blames the messages", async () => {
    const metadata = { param: "prompt", context_length: "2048", prompt_tokens: "5000", max_tokens: "100" };
    const { error } = await refusal(typedError(Code.OutOfRange, "No.", { metadata }));
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    expect(error.message).toContain("2048");
    expect(error.message).toContain("5000");
  });

  test("for a prompt whose tokens were not all counted says that there are at least so many", async () => {
    const metadata = { param: "prompt", context_length: "2048", prompt_tokens: "9000", counted: "at_least" };
    const { error } = await refusal(typedError(Code.OutOfRange, "No.", { metadata }));
    expect(error.message).toContain("at least 9000");
  });

  test("is told in the client's names", async () => {
    const words = 'The model "m" does not support prompt.chat.tools.';
    const metadata = { param: "prompt.chat.tools" };
    const { error } = await refusal(typedError(Code.Unimplemented, words, { metadata }));
    expect(error).toMatchObject({ param: "tools", message: 'The model "m" does not support tools.' });
    const limit = typedError(Code.InvalidArgument, "stopping.min_tokens must not be above stopping.max_tokens.", {
      metadata: { param: "stopping.min_tokens" },
    });
    const told = (await refusal(limit, { max_completion_tokens: 3 })).error;
    expect(told.message).toBe("min_tokens must not be above max_completion_tokens.");
  });

  test("that says when to come back says so to the client, in seconds and milliseconds", async () => {
    const { response } = await refusal(typedError(Code.ResourceExhausted, "Full.", { retryAfterMs: 1200 }));
    expect(response.headers.get("retry-after")).toBe("2");
    expect(response.headers.get("retry-after-ms")).toBe("1200");
    const unsaid = await refusal(typedError(Code.Unavailable, "Down."));
    expect(unsaid.response.headers.get("retry-after")).toBe("1");
  });

  test("without our ErrorInfo keeps its words to the log", async () => {
    const { error } = await refusal(typedError(Code.InvalidArgument, "secret words", { domain: "elsewhere" }));
    expect(error.message).not.toContain("secret");
    const internal = await refusal(typedError(Code.Internal, "secret words"));
    expect(internal.error.message).not.toContain("secret");
  });

  test("that is internal is worth one more try and no second", async () => {
    edge.node.generate = async function* () {
      yield* [];
      throw typedError(Code.Internal, "x");
    };
    const again = await edge.fetch("/v1/chat/completions", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${key}`,
        "x-stainless-retry-count": "1",
      },
      body: JSON.stringify(body),
    });
    expect(again.headers.get("x-should-retry")).toBe("false");
  });
});

describe("a node that can't be reached", () => {
  test("is overloaded: 503, retryable", async () => {
    const dead = await createTestEdge({
      clock,
      bindings: {
        SLUICE_KEY_PEPPER: edge.bindings.SLUICE_KEY_PEPPER,
        NODE: { fetch: () => Promise.reject(new Error("Network connection lost.")) } as unknown as Fetcher,
      },
    });
    const response = await dead.post("/v1/chat/completions", body, key);
    expect(response.status).toBe(503);
    expect((await response.json<ErrorBody>()).error.code).toBe("overloaded");
    expect(response.headers.get("retry-after")).toBe("1");
  });

  test("whose proxy answers in HTML is overloaded or our fault, never the client's", async () => {
    const answers = (status: number) =>
      createTestEdge({
        clock,
        bindings: {
          SLUICE_KEY_PEPPER: edge.bindings.SLUICE_KEY_PEPPER,
          NODE: { fetch: async () => new Response("<html>", { status }) } as unknown as Fetcher,
        },
      });
    expect((await (await answers(502)).post("/v1/chat/completions", body, key)).status).toBe(503);
    expect((await (await answers(404)).post("/v1/chat/completions", body, key)).status).toBe(500);
    expect((await (await answers(401)).post("/v1/chat/completions", body, key)).status).toBe(500);
  });
});

describe("a failure after the first byte", () => {
  test("of a stream is one error event, no finish and no [DONE]", async () => {
    edge.node.generate = async function* () {
      yield* [admitted, prefilled, said("Hel")];
      throw typedError(Code.Unavailable, "The engine died.", { retryAfterMs: 500 });
    };
    const response = await edge.post("/v1/chat/completions", { ...body, stream: true }, key);
    expect(response.status).toBe(200);
    const events = dataOf(await response.text());
    expect(events.at(-1)).toEqual({
      error: { message: "The engine died.", type: "server_error", param: null, code: "overloaded" },
    });
    expect(events.filter((event) => event.error !== undefined)).toHaveLength(1);
    expect(events).not.toContain("[DONE]");
    expect(events.some((event) => event.choices?.[0].finish_reason)).toBe(false);
    expect(clock.pending).toBe(0);
  });

  test("of a connection that just breaks is retryable too", async () => {
    const cut = await createTestEdge({ clock, bindings: { ...edge.bindings, NODE: cutOff() } });
    const response = await cut.post("/v1/chat/completions", { ...body, stream: true }, key);
    const events = dataOf(await response.text());
    expect(events.at(-1).error).toMatchObject({ type: "server_error", code: "overloaded" });
  });

  test("of a unary answer whose head is out is an error body under its 200", async () => {
    const go = Promise.withResolvers<void>();
    edge.node.generate = async function* () {
      yield* [admitted, prefilled];
      await go.promise;
      throw typedError(Code.Unavailable, "The engine died.");
    };
    const pending = edge.post("/v1/chat/completions", body, key);
    await settled();
    await clock.advance(1000);
    const response = await pending;
    const text = response.text();
    go.resolve();
    expect(response.status).toBe(200);
    expect(JSON.parse(await text).error).toMatchObject({ code: "overloaded" });
    expect(clock.pending).toBe(0);
  });

  test("of a unary answer whose head is not out has its own status", async () => {
    edge.node.generate = async function* () {
      yield* [admitted, prefilled, said("Hel")];
      throw typedError(Code.Unavailable, "The engine died.");
    };
    expect((await edge.post("/v1/chat/completions", body, key)).status).toBe(503);
    expect(clock.pending).toBe(0);
  });
});

describe("the deadline", () => {
  test("ends a generation of which the node itself says nothing", async () => {
    const before = edge.node.aborted;
    edge.node.generate = async function* (_request, signal) {
      yield admitted;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const bindings = { ...edge.bindings, SLUICE_REQUEST_TIMEOUT_MS: "1500" };
    const hurried = await createTestEdge({ clock, bindings });
    const response = await hurried.post("/v1/chat/completions", { ...body, stream: true }, key);
    expect(edge.node.headers.at(-1)?.get("grpc-timeout")).toBe("1500m");
    const text = response.text();
    await clock.advance(2500);
    expect(dataOf(await text).at(-1).error).toMatchObject({ code: "timeout" });
    await settled();
    expect(edge.node.aborted).toBe(before + 1);
    expect(clock.pending).toBe(0);
  });
});

/** A node whose connection ends in the middle of a message. */
function cutOff(): Fetcher {
  const fetch = async (input: RequestInfo, init?: RequestInit): Promise<Response> => {
    edge.node.generate = async function* () {
      yield* [admitted, prefilled, said("Hel")];
    };
    const whole = new Uint8Array(await (await edge.node.fetch(input, init)).arrayBuffer());
    return new Response(whole.slice(0, 40), { headers: { "content-type": "application/grpc-web+proto" } });
  };
  return { fetch } as unknown as Fetcher;
}
