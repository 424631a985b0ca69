// Both doors refuse with the same status and the same details.
import { Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Role } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "../node-error.ts";
import { nativeClient } from "../testing/native-client.ts";
import { casesOf, scripted, type TestClient } from "../testing/test-client.ts";
import { eventually, startTestNode, type TestNode, testSecret } from "../testing/test-node.ts";

const pair = { requestId: "r", model: "scripted", query: "q", documents: ["d"] };

let node: TestNode;

beforeAll(async () => {
  node = await startTestNode({ sequences: 1, queueDepthMax: 1, contextLength: 200 });
});

afterAll(() => node.close());

describe.each(["native", "web"] as const)("%s door", (door) => {
  const client = (): TestClient => node.clients[door];

  it("names the offending field of a bad request, before Admitted", async () => {
    const { events, failure } = await client().generate(scripted("Hi", { sampling: { topP: 1.5 } as never }));
    expect(events).toEqual([]);
    expect(failure).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      domain: "sluice.dev",
      reason: "INVALID_ARGUMENT",
      metadata: { param: "sampling.top_p" },
    });
    expect(failure?.message).toContain("sampling.top_p");
  });

  it("refuses what the model does not do as UNIMPLEMENTED with the field", async () => {
    const { failure } = await client().generate(scripted("Hi", { choiceCount: 2 }));
    expect(failure).toMatchObject({ code: Code.UNIMPLEMENTED, metadata: { param: "choice_count" } });
  });

  it("does not know other models", async () => {
    const { failure } = await client().generate(scripted("Hi", { model: "gpt-9" }));
    expect(failure).toMatchObject({ code: Code.NOT_FOUND, reason: "MODEL_NOT_FOUND", metadata: { param: "model" } });
    await expect(client().unary("tokenize", { model: "gpt-9", text: "x" })).rejects.toMatchObject({
      code: Code.NOT_FOUND,
    });
  });

  it("refuses a prompt longer than the context with all numbers", async () => {
    const { failure } = await client().generate(scripted("word ".repeat(200)));
    expect(failure).toMatchObject({
      code: Code.OUT_OF_RANGE,
      reason: "CONTEXT_LENGTH_EXCEEDED",
      metadata: { context_length: "200", max_tokens: "0" },
    });
    expect(Number(failure?.metadata.prompt_tokens)).toBeGreaterThan(200);
  });

  it("refuses a max_tokens for which the context has no room", async () => {
    const { failure } = await client().generate(scripted("Hi", { stopping: { maxTokens: 195 } as never }));
    expect(failure).toMatchObject({ code: Code.OUT_OF_RANGE, metadata: { max_tokens: "195", prompt_tokens: "7" } });
  });

  it("carries a failure in mid-stream with its details", async () => {
    const result = await client().generate(
      scripted({ text: "a b c", fail_after: 2, fail: "UNAVAILABLE", retry_after_ms: 1_500 }),
    );
    expect(casesOf(result)).toEqual(["admitted", "prefilled", "delta", "delta"]);
    expect(result.failure).toMatchObject({ code: Code.UNAVAILABLE, reason: "SCRIPTED", retryMs: 1_500 });
  });

  it("refuses before Admitted when the script says so", async () => {
    const result = await client().generate(scripted({ fail: "overloaded" }));
    expect(result.events).toEqual([]);
    expect(result.failure).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, retryMs: 1_000 });
  });

  it("refuses with a retry delay when slot and queue are full", async () => {
    const holding = new AbortController();
    const holders = [1, 2].map(() => client().generate(scripted({ prefill_ms: 60_000 }), { signal: holding.signal }));
    await eventually(async () => (await node.metric("sluice_num_requests_waiting")) === 1);
    const { events, failure } = await client().generate(scripted("Hi"));
    expect(events).toEqual([]);
    expect(failure).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: "QUEUE_FULL" });
    expect(failure?.retryMs).toBeGreaterThan(0);
    holding.abort();
    await Promise.all(holders);
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 0);
  });

  it("refuses a request id that is running", async () => {
    const holding = new AbortController();
    const request = scripted({ prefill_ms: 60_000 });
    const holder = client().generate(request, { signal: holding.signal });
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 1);
    const { failure } = await client().generate(request);
    expect(failure).toMatchObject({
      code: Code.INVALID_ARGUMENT,
      reason: "DUPLICATE_REQUEST_ID",
      metadata: { param: "request_id" },
    });
    holding.abort();
    await holder;
    await eventually(async () => (await node.metric("sluice_num_requests_running")) === 0);
  });

  it("refuses a message of more than 16 MiB", async () => {
    const chat = { messages: [{ role: Role.USER, content: "x".repeat(17 * 1024 * 1024) }] };
    const { failure } = await client().generate(
      scripted("", { prompt: { form: { case: "chat", value: chat } } as never }),
    );
    expect(failure?.code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(failure?.message).toContain("16777216");
  });

  it("refuses to score documents by a model that is not made for it", async () => {
    await expect(client().unary("rerank", pair)).rejects.toMatchObject({
      code: Code.UNIMPLEMENTED,
      reason: "UNSUPPORTED",
      metadata: { param: "model" },
    });
  });

  it.each([
    ["control", { requestId: "", action: 1 }, "request_id"],
    ["control", { requestId: "x", action: 9 }, "action"],
    ["journal", { requestIds: Array.from({ length: 1_001 }, String) }, "request_ids"],
    ["countTokens", { model: "scripted" }, "prompt"],
    ["embed", { requestId: "e", model: "scripted" }, "inputs"],
    ["embed", { requestId: "e", model: "scripted", inputs: [{ input: { case: "text", value: "" } }] }, "inputs[0]"],
    [
      "embed",
      { requestId: "e", model: "scripted", inputs: [{ input: { case: "text", value: "x" } }], dimensions: 9_999 },
      "dimensions",
    ],
    ["rerank", { ...pair, requestId: "" }, "request_id"],
    ["rerank", { ...pair, query: "" }, "query"],
    ["rerank", { ...pair, documents: [] }, "documents"],
    ["rerank", { ...pair, documents: new Array(2_049).fill("d") }, "documents"],
    ["rerank", { ...pair, documents: ["d", ""] }, "documents[1]"],
    ["detokenize", { model: "scripted", tokenIds: [0xffff_ffff] }, "token_ids"],
  ])("refuses a bad %s with the field", async (method, request, param) => {
    await expect(client().unary(method, request)).rejects.toMatchObject({
      code: Code.INVALID_ARGUMENT,
      metadata: { param },
    });
  });
});

it("refuses bytes that are no message as INVALID_ARGUMENT on the native door", async () => {
  const { raw } = nativeClient(node.node.grpcAddress);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${testSecret}`);
  const same = (bytes: Buffer): Buffer => bytes;
  const code = await new Promise((resolve) => {
    const path = "/sluice.inference.v1.InferenceService/Tokenize";
    raw.makeUnaryRequest(path, same, same, Buffer.from([0xff, 0xff]), metadata, (error) => resolve(error?.code));
  });
  expect(code).toBe(Code.INVALID_ARGUMENT);
  raw.close();
});
