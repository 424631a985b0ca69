// The stock OpenAI client, by base URL and key alone: chat, stream, models, typed errors, retries.
import { Code } from "@connectrpc/connect";
import OpenAI from "openai";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";
import { admitted, createFakeNode, finished, prefilled, said, typedError } from "../testing/fake-node.ts";

let edge: TestEdge;
let client: OpenAI;

beforeAll(async () => {
  edge = await createTestEdge();
  client = clientWith((await edge.createKey()).key);
});

beforeEach(() => {
  edge.node.generate = createFakeNode().generate;
});

function clientWith(apiKey: string, maxRetries = 0): OpenAI {
  const path = (input: RequestInfo | URL) => new URL(input instanceof Request ? input.url : input);
  const fetch = (input: RequestInfo | URL, init?: RequestInit) => edge.fetch(path(input).pathname, init);
  return new OpenAI({ apiKey, baseURL: "http://edge.test/v1", maxRetries, fetch: fetch as typeof globalThis.fetch });
}

const body = { model: "scripted", messages: [{ role: "user" as const, content: "hi" }] };

describe("the OpenAI client", () => {
  test("chats", async () => {
    const completion = await client.chat.completions.create(body);
    expect(completion.choices[0]?.message.content).toBe("Hello world");
    expect(completion.usage?.total_tokens).toBe(9);
    expect(completion._request_id).toMatch(/^req_/);
  });

  test("streams, with usage", async () => {
    const stream = await client.chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let tokens: number | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      tokens = chunk.usage?.total_tokens ?? tokens;
    }
    expect(text).toBe("Hello world");
    expect(tokens).toBe(9);
  });

  test("gathers a stream into the message that a unary call gives", async () => {
    const final = await client.chat.completions.stream(body).finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe("Hello world");
    expect(final.choices[0]?.finish_reason).toBe("stop");
  });

  test("lists and retrieves models", async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["scripted"]);
    expect((await client.models.retrieve("scripted")).owned_by).toBe("sluice");
  });

  test("throws its typed errors", async () => {
    await expect(clientWith("sk-wrong").models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(client.models.retrieve("nope")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const wrong = client.chat.completions.create({ ...body, temperature: 3 });
    await expect(wrong).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(wrong).rejects.toMatchObject({ param: "temperature", requestID: expect.stringMatching(/^req_/) });
  });

  test("throws when a stream fails midway", async () => {
    edge.node.generate = async function* () {
      yield* [admitted, prefilled, said("Hel")];
      throw typedError(Code.Unavailable, "The engine died.");
    };
    const stream = await client.chat.completions.create({ ...body, stream: true });
    const texts: string[] = [];
    await expect(async () => {
      for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? "");
    }).rejects.toThrow("The engine died.");
    expect(texts).toContain("Hel");
  });

  test("tries again when the node is busy, after the time that it was told", async () => {
    let calls = 0;
    edge.node.generate = async function* () {
      if (++calls === 1) throw typedError(Code.ResourceExhausted, "Full.", { retryAfterMs: 5 });
      yield* [admitted, prefilled, said("ok"), finished()];
    };
    const { key } = await edge.createKey();
    const completion = await clientWith(key, 2).chat.completions.create(body);
    expect(completion.choices[0]?.message.content).toBe("ok");
    expect(calls).toBe(2);
  });
});
