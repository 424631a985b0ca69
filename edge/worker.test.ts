// What every response has, whatever the path: an id, JSON errors, CORS, safe headers, one log line.
import { beforeAll, describe, expect, test, vi } from "vitest";
import { createTestEdge, type TestEdge } from "./testing/edge.ts";

let edge: TestEdge;
let key: string;

beforeAll(async () => {
  edge = await createTestEdge();
  key = (await edge.createKey()).key;
});

describe("every response", () => {
  test.each<[string, string, number]>([
    ["GET", "/", 200],
    ["GET", "/healthz", 200],
    ["GET", "/nowhere", 404],
    ["GET", "/v1/nowhere/%zz", 404],
    ["POST", "/v1/audio/speech", 404],
    ["GET", "/v1/chat/completions", 405],
    ["DELETE", "/v1/models", 405],
    ["PUT", "/admin/v1/keys", 405],
    ["PATCH", "/healthz", 405],
    ["GET", "/v1/models", 401],
    ["POST", "/admin/v1/keys", 401],
    ["OPTIONS", "/v1/chat/completions", 204],
  ])("%s %s has a request id of ours and safe headers", async (method, path, status) => {
    const response = await edge.fetch(path, {
      method,
      headers: { "x-request-id": "forged", "x-client-request-id": "mine" },
    });
    expect(response.status).toBe(status);
    expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    if (status >= 400) {
      const { error } = await response.json<{ error: Record<string, unknown> }>();
      expect(Object.keys(error).toSorted()).toEqual(["code", "message", "param", "type"]);
      expect(error.type).toBe("invalid_request_error");
    }
  });

  test("has another id each time", async () => {
    const ids = await Promise.all([1, 2, 3].map(async () => (await edge.fetch("/")).headers.get("x-request-id")));
    expect(new Set(ids).size).toBe(3);
  });
});

describe("a method that a path does not take", () => {
  test.each([
    ["/v1/chat/completions", "GET", "POST, OPTIONS"],
    ["/chat/completions", "HEAD", "POST, OPTIONS"],
    ["/v1/models", "POST", "GET, HEAD, OPTIONS"],
    ["/v1/models/a/b", "POST", "GET, HEAD, OPTIONS"],
    ["/admin/v1/keys", "PATCH", "GET, POST, HEAD, OPTIONS"],
    ["/admin/v1/keys/key_1", "GET", "DELETE, OPTIONS"],
    ["/", "POST", "GET, HEAD, OPTIONS"],
  ])("%s %s is a 405 with Allow: %s", async (path, method, allow) => {
    const response = await edge.fetch(path, { method, headers: { authorization: `Bearer ${key}` } });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe(allow);
  });
});

describe("HEAD", () => {
  test.each(["/", "/healthz", "/readyz"])("answers for %s as GET does, without a body", async (path) => {
    const response = await edge.fetch(path, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(response.headers.has("x-request-id")).toBe(true);
  });
});

describe("a browser of another site", () => {
  test("may send what the SDKs send and read what they read", async () => {
    const preflight = await edge.fetch("/v1/chat/completions", {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("x-stainless-lang");
    const response = await edge.fetch("/v1/models", {
      headers: { origin: "https://app.example", authorization: `Bearer ${key}` },
    });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    for (const name of ["x-request-id", "retry-after", "x-should-retry", "x-sluice-ignored"]) {
      expect(response.headers.get("access-control-expose-headers")).toContain(name);
    }
    expect(response.headers.has("access-control-allow-credentials")).toBe(false);
  });
});

describe("the access log", () => {
  async function linesOf(work: () => Promise<unknown>) {
    const spy = vi.spyOn(console, "log");
    await work();
    const lines = spy.mock.calls.map(([text]) => JSON.parse(text));
    spy.mockRestore();
    return lines;
  }

  test("has one line a request, with who, what and how much, and no text of anybody", async () => {
    const body = { model: "scripted", messages: [{ role: "user", content: "my secret plan" }] };
    const lines = await linesOf(async () => {
      await (await edge.post("/v1/chat/completions", body, key)).text();
      await (await edge.post("/v1/chat/completions?debug=secret", { ...body, stream: true }, key)).text();
      await edge.fetch("/nowhere", { headers: { "x-client-request-id": "mine" } });
    });
    expect(lines).toHaveLength(3);
    for (const stream of [0, 1]) {
      expect(lines[stream]).toMatchObject({
        event: "request",
        level: "info",
        method: "POST",
        path: "/v1/chat/completions",
        status: 200,
        model: "scripted",
        stream: stream === 1,
        key_id: expect.stringMatching(/^key_/),
        project_id: "prj_default",
        prompt_tokens: 7,
        cached_tokens: 2,
        completion_tokens: 2,
        finish_reason: "stop",
        duration_ms: expect.any(Number),
        ttft_ms: expect.any(Number),
      });
    }
    expect(lines[2]).toMatchObject({ status: 404, error: "not_found", client_request_id: "mine" });
    const text = JSON.stringify(lines);
    for (const secret of ["secret", "Hello", key]) expect(text).not.toContain(secret);
  });

  test("is written when a stream ends, not when it starts", async () => {
    const body = { model: "scripted", stream: true, messages: [{ role: "user", content: "x" }] };
    const spy = vi.spyOn(console, "log");
    const response = await edge.post("/v1/chat/completions", body, key);
    expect(spy).not.toHaveBeenCalled();
    await response.text();
    expect(spy).toHaveBeenCalledTimes(1);
    spy.mockRestore();
  });

  test("stays bounded and one line whatever the client sends", async () => {
    const lines = await linesOf(async () => {
      await edge.fetch(`/${"x".repeat(5000)}`, { headers: { "x-client-request-id": "y".repeat(5000) } });
      const logit_bias = { ["z".repeat(50_000)]: 999 };
      const body = { model: "m".repeat(50), messages: [{ role: "user", content: "x" }], logit_bias };
      expect((await edge.post("/v1/chat/completions", body, key)).status).toBe(400);
    });
    expect(lines).toHaveLength(2);
    expect(JSON.stringify(lines[1]).length).toBeLessThan(1500);
    expect(JSON.stringify(lines[0]).length).toBeLessThan(1500);
  });
});
