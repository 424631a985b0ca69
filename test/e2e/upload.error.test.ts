// A refused client that sends all it has before it reads, as many do, still hears why.
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted" });
});

afterAll(() => stack?.stop());

/** Posts so many spaces and begins to read when the last of them is sent; rejects when the connection breaks before. */
async function statusAfterSending(bytes: number, key: string): Promise<number> {
  const { hostname, port, host } = new URL(stack.url);
  const socket = connect(Number(port), hostname);
  const head = [
    "POST /v1/chat/completions HTTP/1.1",
    `host: ${host}`,
    `authorization: Bearer ${key}`,
    "content-type: application/json",
    `content-length: ${bytes}`,
    "connection: close",
  ];
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.write(`${head.join("\r\n")}\r\n\r\n`);
      socket.write(Buffer.alloc(bytes, " "), () => resolve());
    });
    const [answer] = (await once(socket, "data")) as [Buffer];
    return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer.toString("latin1"))?.[1]);
  } finally {
    socket.destroy();
  }
}

test.each([
  ["10 MB", 10 << 20, "right", 413],
  ["10 MB without a valid key", 10 << 20, "wrong", 413],
  ["3 MB without a valid key", 3 << 20, "wrong", 401],
  ["3 MB that are no JSON", 3 << 20, "right", 400],
])("of %s", async (_, bytes, key, status) => {
  for (let round = 0; round < 5; round += 1) {
    expect(await statusAfterSending(bytes, key === "right" ? stack.apiKey : "sk-wrong")).toBe(status);
  }
});
