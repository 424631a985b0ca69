// The stock OpenAI client for Python on the real stack, by base URL and key alone.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { untilSlots } from "../support/chat.ts";
import { ensurePython } from "../support/python.ts";
import { root, type Stack, startStack } from "../support/stack.ts";

const run = promisify(execFile);

let stack: Stack;
/** What test/clients/openai_client.py says of each of its parts. */
let said: Record<string, unknown>;

beforeAll(async () => {
  const python = await ensurePython();
  stack = await startStack({ runtime: "scripted" });
  const script = join(root, "test", "clients", "openai_client.py");
  const args = [script, `${stack.url}/v1`, stack.apiKey, stack.adminKey];
  said = JSON.parse((await run(python, args, { timeout: 60_000 })).stdout);
}, 400_000);

afterAll(() => stack?.stop());

test("chats, with text outside ASCII, usage and the request's id", () => {
  expect(said.chat).toEqual({ content: "Grüße", total: expect.any(Number), id: expect.stringMatching(/^req_/) });
  expect(said.slow).toBe("slow");
});

test("streams past the pings, to one end and the usage", () => {
  expect(said.stream).toEqual({ text: "one two three", ends: ["stop"], usage: expect.any(Number) });
});

test("gathers a stream by its helper, tool calls too", () => {
  const { deltas, ...message } = said.helper as { deltas: string[] };
  expect(deltas.join("")).toBe("Let me look.");
  expect(message).toEqual({ content: "Let me look.", name: "weather", arguments: { city: "Oslo" } });
});

test("finds the reasoning beside the text", () => {
  expect(said.reasoning).toEqual({ whole: "let me see", streamed: "let me see", content: "42" });
});

test("lists and retrieves models", () => {
  expect(said.models).toEqual({ list: ["scripted"], one: "model" });
});

test("chats many times at once, each answer its own", () => {
  expect(said.several).toEqual(Array.from({ length: 8 }, (_, index) => `answer ${index}`));
});

test("raises the error of a stream that fails midway", () => {
  expect(said.broken_stream).toEqual({
    error: expect.objectContaining({ class: "APIError", code: "overloaded", type: "server_error" }),
    text: expect.stringMatching(/^a/),
  });
});

test.each([
  ["wrong key", { class: "AuthenticationError", status: 401, code: "invalid_api_key", param: null }],
  ["admin key", { class: "PermissionDeniedError", status: 403 }],
  ["unknown model", { class: "NotFoundError", status: 404, code: "model_not_found", param: "model" }],
  ["bad value", { class: "BadRequestError", status: 400, code: null, param: "temperature" }],
  ["too long", { class: "BadRequestError", status: 400, code: "context_length_exceeded" }],
  ["unsupported", { class: "BadRequestError", status: 400, code: "unsupported_parameter", param: "n" }],
  ["overloaded", { class: "InternalServerError", status: 503, code: "overloaded", type: "server_error" }],
  ["internal", { class: "InternalServerError", status: 500, code: null, type: "server_error" }],
  ["patience", { class: "APITimeoutError" }],
])("raises its own type of error: %s", (name, expected) => {
  const errors = said.errors as Record<string, { status: number | null; request_id: string | null }>;
  expect(errors[name]).toMatchObject(expected);
  if (errors[name]?.status) expect(errors[name].request_id).toMatch(/^req_/);
});

test("leaves no slot taken behind", () => untilSlots(stack, 0, 0));
