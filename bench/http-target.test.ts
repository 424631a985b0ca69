// The HTTP target against a server with exact tokens and delays.
import { afterEach, describe, expect, it } from "vitest";
import { type FakeBehaviour, type FakeServer, startFakeServer } from "./fake-server.ts";
import { HttpTarget } from "./http-target.ts";

const never = new AbortController().signal;
const sampling = { maxTokens: 6, temperature: 0, ignoreEos: false };
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function started(
  behaviour: FakeBehaviour = {},
  model?: string,
): Promise<{ server: FakeServer; target: HttpTarget }> {
  const server = await startFakeServer(behaviour);
  const baseUrl = `${server.origin}/v1`;
  const target = new HttpTarget({ baseUrl, key: "sk-test", keyFlag: "--key", model, timeoutMs: 5000 });
  closers.push(
    () => target.close(),
    () => server.close(),
  );
  await target.open(never);
  return { server, target };
}

describe("HttpTarget", () => {
  it("asks the first listed model unless told another", async () => {
    expect((await started({ models: ["one", "two"] })).target.model).toBe("one");
    expect((await started({ models: ["one", "two"] }, "two")).target.model).toBe("two");
  });

  it("sends what OpenAI's API takes and nothing more", async () => {
    const { server, target } = await started();
    await target.round({ streams: [["hello"]], sampling }, never);
    expect(server.requests[0]).toEqual({
      model: "fake",
      messages: [{ role: "user", content: "hello" }],
      max_tokens: 6,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(server.authorizations).toEqual(["Bearer sk-test", "Bearer sk-test"]);
  });

  it("adds ignore_eos only when asked", async () => {
    const { server, target } = await started();
    await target.round({ streams: [["hello"]], sampling: { ...sampling, ignoreEos: true } }, never);
    expect(server.requests[0]).toMatchObject({ ignore_eos: true });
  });

  it("measures tokens, first token and gaps of a stream", async () => {
    const { target } = await started({ tokenMs: 20 });
    const record = await target.round({ streams: [["a b c"]], sampling }, never);
    expect(record.errors).toEqual(new Map());
    expect(record.completionTokens).toBe(6);
    expect(record.promptTokens).toBe(8);
    expect(record.chunks).toBe(6);
    expect(record.ttft.count).toBe(1);
    expect(record.itl.count).toBe(5);
    expect(record.ttft.percentile(0.5)).toBeGreaterThan(15);
    expect(record.itl.percentile(0.5)).toBeGreaterThan(15);
    expect(record.itl.percentile(0.5)).toBeLessThan(60);
    expect(record.wallMs).toBeGreaterThan(6 * 15);
    expect(record.tokensPerSecond).toBeCloseTo((6 / record.wallMs) * 1000, 6);
  });

  it("believes the server's token count when an event holds several tokens", async () => {
    const { target } = await started({ tokensPerEvent: 3 });
    const record = await target.round({ streams: [["a"]], sampling }, never);
    expect(record.completionTokens).toBe(6);
    expect(record.chunks).toBe(2);
    expect(record.countedByChunks).toBe(0);
  });

  it("counts chunks, and says so, when the server sends no usage", async () => {
    const { target } = await started({ usage: false });
    const record = await target.round({ streams: [["a"]], sampling }, never);
    expect(record.completionTokens).toBe(6);
    expect(record.countedByChunks).toBe(1);
  });

  it("runs all streams at the same time and each one's requests one after another", async () => {
    const { server, target } = await started({ tokenMs: 5 });
    const streams = Array.from({ length: 8 }, () => ["x", "y"]);
    const record = await target.round({ streams, sampling }, never);
    expect(record.requests).toBe(16);
    expect(server.concurrencyMax()).toBe(8);
  });

  it("counts a prompt's tokens by asking for one token", async () => {
    const { server, target } = await started({ templateTokens: 31 });
    expect(await target.countPromptTokens("one two three", never)).toBe(34);
    expect(server.requests[0]).toMatchObject({ max_tokens: 1 });
  });

  it("makes a request again when the server had closed the idle connection", async () => {
    const { server, target } = await started({
      intercept: (response, ordinal) => {
        // The second one meets a socket that dies before it answers.
        if (ordinal === 2) response.destroy();
        return ordinal === 2;
      },
    });
    const record = await target.round({ streams: [["a", "b"]], sampling }, never);
    expect(record.errorCount).toBe(0);
    expect(server.requests).toHaveLength(3);
  });

  it("counts thinking and tool calls as tokens too", async () => {
    const { target } = await started({
      intercept: (response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        const deltas = [
          { reasoning_content: "hm" },
          { reasoning: "hm" },
          { tool_calls: [{}] },
          { content: null },
          null,
        ];
        for (const delta of deltas) response.write(`data: ${JSON.stringify({ choices: [{ delta }] })}\n\n`);
        response.end("data: [DONE]\n\n");
        return true;
      },
    });
    expect((await target.round({ streams: [["a"]], sampling }, never)).chunks).toBe(3);
  });
});
