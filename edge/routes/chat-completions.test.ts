// Chat completions that work: bodies, streams and what the node was asked.
import { beforeAll, describe, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "../testing/edge.ts";

let edge: TestEdge;
let key: string;

beforeAll(async () => {
  edge = await createTestEdge();
  key = (await edge.createKey()).key;
});

const body = { model: "scripted", messages: [{ role: "user", content: "hi" }] };

describe("a unary completion", () => {
  test("is OpenAI's whole object", async () => {
    const response = await edge.post("/v1/chat/completions", body, key);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ object: "chat.completion" });
  });
});
