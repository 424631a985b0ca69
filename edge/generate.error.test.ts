// Generations that break around their end, and what of a client's request never reaches the node.
import { beforeAll, expect, test } from "vitest";
import { createTestEdge, type TestEdge } from "./testing/edge.ts";
import { admitted, finished, prefilled, said } from "./testing/fake-node.ts";

let edge: TestEdge;
let key: string;

beforeAll(async () => {
  edge = await createTestEdge();
  key = (await edge.createKey()).key;
});

const body = { model: "scripted", messages: [{ role: "user", content: "hi" }] };

function breakAfterFinished(): void {
  edge.node.generate = async function* () {
    yield* [admitted, prefilled, said("Hello"), finished()];
    throw new Error("The connection broke.");
  };
}

test("a connection that breaks after Finished leaves the stream whole: no error follows [DONE]", async () => {
  breakAfterFinished();
  const text = await (await edge.post("/v1/chat/completions", { ...body, stream: true }, key)).text();
  expect(text).toMatch(/data: \[DONE\]\n\n$/);
  expect(text).not.toContain('"error"');
});

test("a connection that breaks after Finished still gives the whole answer", async () => {
  breakAfterFinished();
  const response = await edge.post("/v1/chat/completions", body, key);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: "Hello" } }] });
});

test("a traceparent is handed on; what is none is not", async () => {
  edge.node.generate = async function* () {
    yield* [admitted, prefilled, said("Hello"), finished()];
  };
  const handedOn = async (traceparent: string): Promise<string | null | undefined> => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", traceparent };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    await (await edge.fetch("/v1/chat/completions", init)).text();
    return edge.node.headers.at(-1)?.get("traceparent");
  };
  const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  expect(await handedOn(valid)).toBe(valid);
  expect(await handedOn("x".repeat(4000))).toBeNull();
  expect(await handedOn(`${valid} and words`)).toBeNull();
});
