// Bodies that are no JSON object, or too much: each a 4xx in OpenAI's shape, none of them read to the end in vain.
import { beforeAll, describe, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "./testing/edge.ts";

const LIMIT = 64 * 1024;

let edge: TestEdge;
let key: string;

beforeAll(async () => {
  edge = await createTestEdge({ bindings: { SLUICE_BODY_BYTES_MAX: String(LIMIT) } });
  key = (await edge.createKey()).key;
});

function send(body: BodyInit | null, headers: Record<string, string> = {}): Promise<Response> {
  return edge.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
    body,
  });
}

async function expectRefused(response: Response, status: number): Promise<string> {
  expect(response.status).toBe(status);
  const { error } = await response.json<{ error: { message: string } }>();
  expect(error).toEqual({ message: expect.any(String), type: "invalid_request_error", param: null, code: null });
  return error.message;
}

/** A body of unstated and, unless it has a bound, endless length that counts how much of it was taken. */
function endless(bytesMax = Number.POSITIVE_INFINITY): { body: ReadableStream<Uint8Array>; taken: () => number } {
  let bytes = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      bytes += 16 * 1024;
      controller.enqueue(new Uint8Array(16 * 1024).fill(0x20));
      if (bytes >= bytesMax) controller.close();
    },
  });
  return { body, taken: () => bytes };
}

describe("a body that is no JSON object", () => {
  test.each([
    "{",
    "",
    "not json",
    '{"a":1,}',
    "{'a':1}",
    "[]",
    "null",
    '"text"',
    "5",
    '{"a":NaN}',
    `{"a":"${"\u0000"}"}`,
    '{"model":"m"} trailing',
  ])("is a 400: %j", async (text) => {
    await expectRefused(await send(text), 400);
  });

  test("is a 400 when it is no UTF-8", async () => {
    const message = await expectRefused(
      await send(new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])),
      400,
    );
    expect(message).toContain("UTF-8");
  });

  test("is a 400 when it is nested beyond reason, and strings full of brackets are not", async () => {
    await expectRefused(await send(`{"a":${"[".repeat(30_000)}`), 400);
    await expectRefused(await send(`{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`), 400);
    const content = `${"[{".repeat(5000)}\\"`;
    const body = `{"model":"scripted","messages":[{"role":"user","content":"${content}"}]}`;
    expect((await send(body)).status).toBe(200);
  });

  test("never has its text in the answer", async () => {
    const message = await expectRefused(await send('{"secret'), 400);
    expect(message).not.toContain("secret");
  });
});

test("a body that breaks off is the client's fault: a 400, no 5xx", async () => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"model":'));
      controller.error(new Error("broken chunk"));
    },
  });
  expect(await expectRefused(await send(body), 400)).toContain("broke off");
});

describe("a body over the limit", () => {
  test("is a 413, before the key is looked at, when its length is stated", async () => {
    const response = await edge.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-length": String(LIMIT + 1) },
      body: "x".repeat(LIMIT + 1),
    });
    await expectRefused(response, 413);
  });

  test("is a 413 after no more than four times the limit was read, when its length is not stated", async () => {
    const { body, taken } = endless();
    await expectRefused(await send(body), 413);
    expect(taken()).toBeLessThan(LIMIT * 5);
  });

  test("is taken off the wire before the 413, so that the client, which still sends, hears it", async () => {
    const { body, taken } = endless(LIMIT * 3);
    await expectRefused(await send(body), 413);
    expect(taken()).toBe(LIMIT * 3);
  });

  test("is read no further than four times the limit without a valid key, and dropped", async () => {
    const { body, taken } = endless();
    const response = await edge.fetch("/v1/chat/completions", { method: "POST", body });
    expect(response.status).toBe(401);
    expect(taken()).toBeLessThan(LIMIT * 5);
  });

  test("is taken off the wire before a refusal that does not look at it", async () => {
    const { body, taken } = endless(LIMIT);
    const response = await edge.fetch("/v1/chat/completions", { method: "POST", body });
    expect(response.status).toBe(401);
    expect(taken()).toBe(LIMIT);
  });

  test("is refused on the admin routes too", async () => {
    const response = await edge.post("/admin/v1/keys", { name: "x".repeat(LIMIT) }, edge.adminKey);
    await expectRefused(response, 413);
  });

  test("is counted in bytes, not characters; at the limit it passes", async () => {
    const frame = '{"model":"scripted","messages":[{"role":"user","content":""}]}';
    const filled = (content: string) => send(frame.replace('""', `"${content}"`));
    expect((await filled("x".repeat(LIMIT - frame.length))).status).toBe(200);
    await expectRefused(await filled("x".repeat(LIMIT - frame.length + 1)), 413);
    await expectRefused(await filled("é".repeat(LIMIT / 2)), 413);
  });
});

describe("a content type", () => {
  const body = '{"model":"scripted","messages":[{"role":"user","content":"x"}]}';

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
  ])("that is not JSON is a 415: %s", async (type) => {
    await expectRefused(await send(body, { "content-type": type }), 415);
  });

  test.each(["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"])(
    "that is JSON passes: %s",
    async (type) => {
      expect((await send(body, { "content-type": type })).status).toBe(200);
    },
  );

  test("that is missing is taken for JSON", async () => {
    const response = await edge.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: new TextEncoder().encode(body),
    });
    expect(response.status).toBe(200);
  });

  test("with a content encoding is a 415: bodies must not be compressed", async () => {
    await expectRefused(await send(body, { "content-encoding": "gzip" }), 415);
  });
});
