// A soak's client sees how its request ended: whole, broken, too late, or by its own hang-up at the moment that was planned.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { ask } from "./client.ts";
import type { RequestPlan } from "./traffic.ts";

const never = new AbortController().signal;
const plan: RequestPlan = { kind: "short", body: { a: 1 }, bad: false, readAfterMs: 0 };
const piece = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n';
let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function door(handle: (request: IncomingMessage, response: ServerResponse) => void, timeoutMs = 20_000) {
  server = createServer(handle).listen(0, "127.0.0.1");
  await new Promise((resolve) => server?.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, apiKey: "sk-own", timeoutMs, now: () => performance.now() };
}

test("a whole answer, with its id and what it says of a second try", async () => {
  const keys: unknown[] = [];
  const at = await door(async ({ headers }, response) => {
    keys.push(headers.authorization, headers["content-type"]);
    response.writeHead(503, { "x-request-id": "req_1", "retry-after": "2" }).end("no");
  });
  const seen = await ask(at, plan, never);
  expect(seen).toMatchObject({ close: "whole", status: 503, requestId: "req_1", retryAfter: "2", text: "no" });
  await ask(at, { ...plan, body: "{broken", key: "sk-wrong" }, never);
  expect(keys).toEqual(["Bearer sk-own", "application/json", "Bearer sk-wrong", "application/json"]);
});

test("a connection that breaks, before the head and after it", async () => {
  const cut = await door((_request, response) => response.destroy());
  expect(await ask(cut, plan, never)).toMatchObject({ close: "broken", status: undefined, error: "ECONNRESET" });
  server?.close();
  const half = await door((_request, response) => {
    response.writeHead(200, { "x-request-id": "req_2" }).write(piece, () => response.destroy());
  });
  expect(await ask(half, plan, never)).toMatchObject({ close: "broken", status: 200, requestId: "req_2", text: piece });
});

test("a request without an end is given up", async () => {
  expect(await ask(await door(() => undefined, 50), plan, never)).toMatchObject({
    close: "timeout",
    status: undefined,
  });
});

test.each([
  ["soon after it was sent", { after: "sent", ms: 20 }, undefined],
  ["after the head", { after: "head", ms: 20 }, 200],
  ["after two deltas", { after: "deltas", count: 2 }, 200],
] as const)("hangs up %s, and the server notices", async (_name, leave, status) => {
  const gone = Promise.withResolvers<void>();
  const at = await door((_request, response) => {
    response.once("close", () => gone.resolve());
    if (leave.after === "sent") return;
    response.writeHead(200);
    response.write(piece);
    if (leave.after === "deltas") response.write(piece);
  });
  const seen = await ask(at, { ...plan, leave }, never);
  expect(seen).toMatchObject({ close: "left", status });
  await gone.promise;
});

test("hangs up when the soak says so, and not once it has its answer", async () => {
  const over = new AbortController();
  const at = await door((_request, response) => response.write(piece));
  const seen = await ask(at, plan, over.signal, (deltas) => deltas === 1 && over.abort());
  expect(seen).toMatchObject({ close: "left", text: piece });
  expect(await ask(at, plan, over.signal)).toMatchObject({ close: "left" });
  server?.closeAllConnections();
  server?.close();
  const quick = await door((_request, response) => response.end("all"));
  expect(await ask(quick, { ...plan, leave: { after: "sent", ms: 10_000 } }, never)).toMatchObject({ close: "whole" });
});

test("a slow reader begins to read when it was planned", async () => {
  const at = await door((_request, response) => response.end("all"));
  const { sentAtMs, endedAtMs, text } = await ask(at, { ...plan, readAfterMs: 300 }, never);
  expect(text).toBe("all");
  expect(endedAtMs - sentAtMs).toBeGreaterThanOrEqual(290);
});
