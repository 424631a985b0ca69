// The gRPC-Web client against connect's own server: messages, pieces, statuses.
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { type GenerateEvent, GenerateRequestSchema } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { InferenceService } from "../proto/gen/sluice/inference/v1/service_pb.js";
import { callGrpcWeb, GrpcError, type GrpcWebCall } from "./grpc-web.ts";
import { createFakeNode, said, typedError } from "./testing/fake-node.ts";

const method = InferenceService.method.generate;

function callOf(fetch: GrpcWebCall["fetch"], more: Partial<GrpcWebCall> = {}): GrpcWebCall {
  const { signal } = new AbortController();
  return { fetch, baseUrl: "http://node.test", headers: {}, timeoutMs: 0, signal, messageBytesMax: 1 << 20, ...more };
}

async function batchesOf(call: GrpcWebCall): Promise<GenerateEvent[][]> {
  const batches: GenerateEvent[][] = [];
  for await (const batch of callGrpcWeb(method, create(GenerateRequestSchema, { model: "m" }), call))
    batches.push(batch);
  return batches;
}

/** The same response, its bytes in other pieces. */
function repieced(fetch: GrpcWebCall["fetch"], pieceBytes: number): GrpcWebCall["fetch"] {
  return async (input, init) => {
    const response = await fetch(input, init);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const pieces = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.byteLength; at += pieceBytes) controller.enqueue(bytes.slice(at, at + pieceBytes));
        controller.close();
      },
    });
    return new Response(pieces, response);
  };
}

const textsOf = (batches: GenerateEvent[][]) =>
  batches.flat().flatMap(({ event }) => (event.case === "delta" ? [event.value.part.value] : []));

describe("a call", () => {
  test.each([1, 4, 5, 7, 1 << 16])(
    "gives the same messages when they come in pieces of %i bytes",
    async (pieceBytes) => {
      const node = createFakeNode();
      expect(textsOf(await batchesOf(callOf(repieced(node.fetch, pieceBytes))))).toEqual(["Hello", " world"]);
    },
  );

  test("hands on together what came together", async () => {
    const batches = await batchesOf(callOf(repieced(createFakeNode().fetch, 1 << 16)));
    expect(batches).toHaveLength(1);
    expect(batches[0]).toHaveLength(5);
  });

  test("tells the server its deadline, and none when there is none", async () => {
    const node = createFakeNode();
    await batchesOf(callOf(node.fetch, { timeoutMs: 1500 }));
    expect(node.headers.at(-1)?.get("grpc-timeout")).toBe("1500m");
    await batchesOf(callOf(node.fetch));
    expect(node.headers.at(-1)?.has("grpc-timeout")).toBe(false);
  });
});

describe("a failed call", () => {
  async function failure(call: GrpcWebCall): Promise<unknown> {
    try {
      await batchesOf(call);
    } catch (error) {
      return error;
    }
    throw new Error("did not fail");
  }

  test("throws the status with its words, Unicode included, and its details", async () => {
    const node = createFakeNode();
    node.generate = async function* () {
      yield said("x");
      throw typedError(Code.ResourceExhausted, "voll: 100 % – über", { retryAfterMs: 5 });
    };
    const error = await failure(callOf(node.fetch));
    expect(error).toBeInstanceOf(GrpcError);
    expect(error).toMatchObject({ status: Code.ResourceExhausted, message: "voll: 100 % – über" });
    expect((error as GrpcError).details).toHaveLength(2);
  });

  test("reads a status that stands among the headers", async () => {
    const headers = { "content-type": "application/grpc-web+proto", "grpc-status": "5", "grpc-message": "no%20such" };
    expect(await failure(callOf(async () => new Response(null, { headers })))).toMatchObject({
      status: Code.NotFound,
      message: "no such",
    });
  });

  test("refuses a message over the limit without waiting for it", async () => {
    const node = createFakeNode();
    node.generate = async function* () {
      yield said("x".repeat(100));
    };
    expect(await failure(callOf(node.fetch, { messageBytesMax: 50 }))).toMatchObject({ status: Code.Internal });
  });

  test("throws the reason of the one who ended it", async () => {
    const node = createFakeNode();
    const controller = new AbortController();
    const reason = new Error("enough");
    node.generate = async function* (_request, signal) {
      yield said("x");
      controller.abort(reason);
      while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    expect(await failure(callOf(node.fetch, { signal: controller.signal }))).toBe(reason);
  });

  test("stops the server when the reader stops early", async () => {
    const node = createFakeNode();
    node.generate = async function* (_request, signal) {
      while (!signal.aborted) {
        yield said("x");
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    for await (const _ of callGrpcWeb(method, create(GenerateRequestSchema), callOf(node.fetch))) break;
    await expect.poll(() => node.aborted).toBe(1);
  });
});
