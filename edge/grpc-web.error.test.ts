// Servers that break the protocol, and messages in many pieces: the gRPC-Web client on bytes made by hand.
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import {
  GenerateEventSchema,
  type GenerateRequest,
  GenerateRequestSchema,
} from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { InferenceService } from "../proto/gen/sluice/inference/v1/service_pb.js";
import { callGrpcWeb } from "./grpc-web.ts";
import { createTestEdge } from "./testing/edge.ts";
import { said } from "./testing/fake-node.ts";

const COMPRESSED = 0x01;
const TRAILER = 0x80;
const HEADERS = { "content-type": "application/grpc-web+proto" };
const request: GenerateRequest = create(GenerateRequestSchema, { model: "m" });

function frame(flags: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(5 + payload.byteLength);
  new DataView(bytes.buffer).setUint32(1, payload.byteLength);
  bytes[0] = flags;
  bytes.set(payload, 5);
  return bytes;
}

const trailer = (...lines: string[]) => frame(TRAILER, new TextEncoder().encode(`${lines.join("\r\n")}\r\n`));
const delta = (text: string) => frame(0, toBinary(GenerateEventSchema, create(GenerateEventSchema, said(text))));
const OK = trailer("grpc-status:0");

/** The frames in pieces of that many bytes; the last may be shorter. */
function inPieces(frames: Uint8Array[], pieceBytes: number): Uint8Array[] {
  const bytes = new Uint8Array(frames.flatMap((part) => [...part]));
  const count = Math.ceil(bytes.byteLength / pieceBytes);
  return Array.from({ length: count }, (_, index) => bytes.slice(index * pieceBytes, (index + 1) * pieceBytes));
}

interface Outcome {
  texts: unknown[];
  error: unknown;
}

/** What a call gives whose response is these pieces. */
async function outcomeOf(pieces: Uint8Array[], messageBytesMax = 1 << 20): Promise<Outcome> {
  const respond = async (): Promise<Response> => {
    const rest = pieces.values();
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const { done, value } = rest.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    return new Response(body, { headers: HEADERS });
  };
  const call = { fetch: respond, baseUrl: "http://node.test", headers: {}, timeoutMs: 0, messageBytesMax };
  const texts: unknown[] = [];
  const { signal } = new AbortController();
  try {
    for await (const batch of callGrpcWeb(InferenceService.method.generate, request, { ...call, signal }))
      for (const { event } of batch) texts.push(event.case === "delta" ? event.value.part.value : event.case);
  } catch (error) {
    return { texts, error };
  }
  return { texts, error: undefined };
}

describe("a status", () => {
  test.each(["", "zero", "0x0", "-0", "1e0", " ", "0, 0"])("of %j is UNKNOWN, never OK", async (status) => {
    const { error, texts } = await outcomeOf([delta("x"), trailer(`grpc-status:${status}`, "grpc-message:why")]);
    expect(texts).toEqual(["x"]);
    expect(error).toMatchObject({ name: "GrpcError", status: Code.Unknown, message: "why" });
  });

  test("that is missing or told twice is UNKNOWN", async () => {
    expect((await outcomeOf([trailer("grpc-message:why")])).error).toMatchObject({ status: Code.Unknown });
    const twice = trailer("grpc-status:0", "grpc-status:0");
    expect((await outcomeOf([twice])).error).toMatchObject({ status: Code.Unknown });
  });

  test("that is empty among the headers is UNKNOWN too", async () => {
    const headers = { ...HEADERS, "grpc-status": "", "grpc-message": "why" };
    const call = { baseUrl: "http://node.test", headers: {}, timeoutMs: 0, messageBytesMax: 1 };
    const fetch = async (): Promise<Response> => new Response(null, { headers });
    const { signal } = new AbortController();
    const events = callGrpcWeb(InferenceService.method.generate, request, { ...call, fetch, signal });
    await expect(events.next()).rejects.toMatchObject({ name: "GrpcError", status: Code.Unknown, message: "why" });
  });

  test.each([
    ["no base64", "%%%"],
    ["base64 of a length that there is not", "AAAAA"],
    ["base64 of what is no message", btoa("\xff\xff\xff\xff")],
    ["a message cut short", btoa("\x12\x7fab")],
  ])("with details that are %s keeps its code and its words", async (_, packed) => {
    const lines = ["grpc-status:8", "grpc-message:all%20full", `grpc-status-details-bin:${packed}`];
    expect((await outcomeOf([trailer(...lines)])).error).toMatchObject({
      name: "GrpcError",
      status: Code.ResourceExhausted,
      message: "all full",
      details: [],
    });
  });

  test("with details that cannot be read has its own HTTP status at the client", async () => {
    const refused = trailer("grpc-status:8", "grpc-message:full", "grpc-status-details-bin:%%%");
    const node = { fetch: async () => new Response(refused, { headers: HEADERS }) } as unknown as Fetcher;
    const edge = await createTestEdge({ bindings: { NODE: node } });
    const { key } = await edge.createKey();
    const body = { model: "scripted", messages: [{ role: "user", content: "hi" }] };
    expect((await edge.post("/v1/chat/completions", body, key)).status).toBe(503);
  });

  test("stands beside lines that are no headers", async () => {
    const lines = ["no colon", ":no name", "bad name: x", "grpc-status:5", "x:\0", "grpc-message:gone"];
    expect((await outcomeOf([trailer(...lines)])).error).toMatchObject({ status: Code.NotFound, message: "gone" });
  });
});

describe.each([1, 3, 7, 1 << 16])("in pieces of %i bytes, a call", (pieceBytes) => {
  const outcome = (...frames: Uint8Array[]) => outcomeOf(inPieces(frames, pieceBytes));

  test("is over with its trailer: a message after it is not read", async () => {
    expect(await outcome(delta("in"), OK, delta("after"))).toEqual({ texts: ["in"], error: undefined });
  });

  test("keeps the first of two trailers", async () => {
    const failed = trailer("grpc-status:14", "grpc-message:died");
    expect(await outcome(delta("in"), OK, failed)).toEqual({ texts: ["in"], error: undefined });
    const { texts, error } = await outcome(delta("in"), failed, OK);
    expect(texts).toEqual(["in"]);
    expect(error).toMatchObject({ status: Code.Unavailable, message: "died" });
  });

  test("is not spoilt by rubbish after its trailer", async () => {
    const rubbish = frame(COMPRESSED, new Uint8Array(3));
    expect(await outcome(delta("in"), OK, rubbish)).toEqual({ texts: ["in"], error: undefined });
    expect(await outcome(delta("in"), OK, Uint8Array.of(0, 255, 255, 255, 255))).toMatchObject({ error: undefined });
  });

  test("gets empty messages and messages of all sizes in order", async () => {
    const texts = ["a", "", "b".repeat(300), "c", "d".repeat(5_000)];
    expect(await outcome(...texts.map(delta), frame(0, new Uint8Array(0)), OK)).toEqual({
      texts: [...texts, undefined],
      error: undefined,
    });
  });

  test("that ends within a frame is a lost connection", async () => {
    const cut = delta("lost").slice(0, -1);
    const { texts, error } = await outcome(delta("in"), cut);
    expect(texts).toEqual(["in"]);
    expect(error).toMatchObject({ status: Code.Unavailable });
  });

  test("refuses a compressed message, and a long one by its header alone", async () => {
    expect((await outcome(frame(COMPRESSED, new Uint8Array(3)))).error).toMatchObject({ status: Code.Internal });
    const long = Uint8Array.of(0, 0, 0x10, 0, 1);
    expect((await outcome(long)).error).toMatchObject({ status: Code.Internal });
  });
});

test("a large message in many pieces is copied a few times, not once for each piece", async () => {
  const text = "x".repeat(500_000);
  const frames = [delta("first"), delta(text), delta("last"), OK];
  const pieces = inPieces(frames, 1_000);
  const set = vi.spyOn(Uint8Array.prototype, "set");
  const { texts, error } = await outcomeOf(pieces);
  const copiedBytes = set.mock.calls.reduce((sum, [source]) => sum + source.length, 0);
  set.mockRestore();
  expect(error).toBeUndefined();
  expect(texts).toEqual(["first", text, "last"]);
  expect(copiedBytes).toBeGreaterThan(0);
  expect(copiedBytes).toBeLessThan(5 * text.length);
});

test("messages that come whole, one a piece, are not copied at all", async () => {
  const texts = ["a", "b", "c"].map((letter) => letter.repeat(1_000));
  const pieces = [...texts.map(delta), OK];
  const set = vi.spyOn(Uint8Array.prototype, "set");
  const outcome = await outcomeOf(pieces);
  const copiedBytes = set.mock.calls.reduce((sum, [source]) => sum + source.length, 0);
  set.mockRestore();
  expect(outcome.texts).toEqual(texts);
  expect(copiedBytes).toBeLessThan(1_000);
});
