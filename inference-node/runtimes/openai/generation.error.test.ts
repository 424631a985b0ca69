// Each way in which an engine can misbehave ends in one typed error, soon, with nothing left behind.
import { afterEach, expect, test } from "vitest";
import { Code, NodeError } from "../../node-error.ts";
import { manualClock } from "../../testing/manual-clock.ts";
import { eventually } from "../../testing/test-node.ts";
import { chunk, done, type Handler, json, sse, sseText, usageChunk } from "./testing/fake-upstream.ts";
import {
  type Fronted,
  type FrontedOptions,
  fronted,
  type RequestInit,
  type RunOptions,
  run,
} from "./testing/fronted.ts";

let open: Fronted | undefined;

afterEach(async () => {
  await open?.close();
  open = undefined;
});

interface Failed extends NodeError {
  /** Deltas before the failure. */
  deltas: number;
  accepted: boolean;
}

/** What a generation fails with when the engine answers so. */
async function failure(
  handler: Handler,
  options: FrontedOptions = {},
  init: RequestInit = {},
  how: RunOptions = {},
): Promise<Failed> {
  open ??= await fronted({ "/v1/chat/completions": handler }, options);
  let deltas = 0;
  let accepted = false;
  const onAccepted = (): void => {
    accepted = true;
  };
  const onDelta = (): void => {
    deltas += 1;
  };
  try {
    await run(open.runtime, init, { onDelta, onAccepted, ...how });
  } catch (thrown) {
    if (thrown instanceof NodeError) return Object.assign(thrown, { deltas, accepted });
    throw thrown;
  }
  throw new Error("nothing failed");
}

/** A stream that goes on until the other side lets go; `onClose` is called then. */
function endless(onClose: () => void): Handler {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => response.write(sseText(chunk({ content: "a" }))), 5);
    response.on("close", () => {
      clearInterval(timer);
      onClose();
    });
  };
}

const head = { "content-type": "text/event-stream" };
const silent: Handler = () => undefined;

test.each([
  [400, { error: { message: "bad" } }, Code.INVALID_ARGUMENT],
  [404, { error: { message: "The model `x` does not exist", code: "model_not_found" } }, Code.NOT_FOUND],
  [429, {}, Code.RESOURCE_EXHAUSTED],
  [500, {}, Code.INTERNAL],
  [503, {}, Code.UNAVAILABLE],
])("a refusal with %i comes before the request counts as accepted", async (status, body, code) => {
  const error = await failure(json(status, body, { "retry-after": "3" }));
  expect(error).toMatchObject({ code, deltas: 0, accepted: false });
  if (status === 429 || status === 503) expect(error.retryAfterMs).toBe(3_000);
});

test("a refused key is INTERNAL for the client, and a line for the operator without the key", async () => {
  const error = await failure(json(401, { error: { message: "wrong key" } }), { env: { KEY: "sk-secret-of-ours" } });
  expect(error).toMatchObject({ code: Code.INTERNAL, accepted: false });
  expect(open?.engine.asked.at(-1)?.headers.authorization).toBe("Bearer sk-secret-of-ours");
  expect(open?.entries.find(({ event }) => event === "upstream.unauthorized")).toMatchObject({ level: "error" });
  expect(JSON.stringify([open?.entries, error.message])).not.toContain("sk-secret");
});

test("a redirect is not followed: the key and the prompt are for one address", async () => {
  const error = await failure((response) => {
    response.writeHead(307, { location: `${open?.engine.url}/elsewhere` }).end();
  });
  expect(error.code).toBe(Code.INTERNAL);
  expect(open?.engine.to("/v1/elsewhere")).toHaveLength(0);
});

test("a stream that breaks off is UNAVAILABLE, however it breaks, and what came before it came", async () => {
  const cut: Handler = (response) => {
    response.writeHead(200, head);
    response.write(sseText(chunk({ content: "a" })), () => response.destroy());
  };
  expect(await failure(cut)).toMatchObject({ code: Code.UNAVAILABLE, deltas: 1, retryAfterMs: 1_000 });
  open?.engine.routes.set("/v1/chat/completions", sse(chunk({ content: "a" }), 'data: {"choi'));
  expect(await failure(silent)).toMatchObject({ code: Code.UNAVAILABLE, deltas: 1 });
  open?.engine.routes.set("/v1/chat/completions", sse());
  expect(await failure(silent)).toMatchObject({ code: Code.UNAVAILABLE, deltas: 0 });
  open?.engine.routes.set("/v1/chat/completions", sse(done));
  expect(await failure(silent)).toMatchObject({ code: Code.UNAVAILABLE, deltas: 0 });
});

test.each([
  ["no JSON", "data: <html>\n\n"],
  ["a list", "data: []\n\n"],
  ["a choice that nobody asked for", sseText({ choices: [{ index: 3, delta: { content: "a" } }] })],
])("a stream with %s is malformed: INTERNAL", async (_what, event) => {
  expect(await failure(sse(chunk({ content: "a" }), event, done))).toMatchObject({
    code: Code.INTERNAL,
    reason: "UPSTREAM_MALFORMED",
    deltas: 1,
  });
});

test("a page under a 200, as some proxies send it, is INTERNAL and never accepted", async () => {
  const page: Handler = (response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<h1>It works</h1>");
  };
  expect(await failure(page)).toMatchObject({ code: Code.INTERNAL, accepted: false });
});

test("a failure as a document under a 200 is that failure", async () => {
  const late = json(200, { error: { message: "busy", type: "server_error", code: "overloaded" } });
  expect(await failure(late)).toMatchObject({ code: Code.UNAVAILABLE, accepted: false });
  open?.engine.routes.set("/v1/chat/completions", json(200, { object: "chat.completion", choices: [] }));
  expect(await failure(late)).toMatchObject({ code: Code.INTERNAL, reason: "UPSTREAM_MALFORMED" });
});

test.each<[string, string, Code]>([
  [
    "Sluice's and OpenAI's",
    sseText({ error: { message: "m", type: "server_error", code: "overloaded" } }),
    Code.UNAVAILABLE,
  ],
  ["vLLM's", sseText({ error: { message: "m", type: "InternalServerError", code: 500 } }), Code.INTERNAL],
  ["llama-server's own field", 'error: {"code":503,"message":"m","type":"unavailable_error"}\n\n', Code.UNAVAILABLE],
  ["a named event", 'event: error\ndata: {"message":"m","code":429}\n\n', Code.RESOURCE_EXHAUSTED],
])("an error within the stream, in %s words, is that error", async (_whose, event, code) => {
  expect(await failure(sse(chunk({ content: "a" }), event))).toMatchObject({ code, deltas: 1, accepted: true });
});

test("an answer that the engine gives up is UNAVAILABLE, not a finished one", async () => {
  const error = await failure(sse(chunk({ content: "a" }), chunk({}, "abort"), usageChunk(1, 1), done));
  expect(error).toMatchObject({ code: Code.UNAVAILABLE, deltas: 1 });
});

test("an engine that takes the request and says nothing is UNAVAILABLE after the first byte's time, and let go", async () => {
  let closed = false;
  const held: Handler = (response) => {
    response.on("close", () => {
      closed = true;
    });
  };
  const error = await failure(held, { env: { FIRST_BYTE_TIMEOUT_MS: "150" } });
  expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: "UPSTREAM_TIMEOUT" });
  await eventually(() => closed);
});

test("an engine that falls silent in the middle is UNAVAILABLE after the idle time; pings keep it alive", async () => {
  let pings = 0;
  const pausing: Handler = (response) => {
    response.writeHead(200, head);
    response.write(sseText(chunk({ content: "a" })));
    const timer = setInterval(() => {
      pings += 1;
      if (pings > 15) clearInterval(timer);
      else response.write(": ping\n\n");
    }, 100);
  };
  const error = await failure(pausing, { env: { IDLE_TIMEOUT_MS: "1000" } });
  expect(error).toMatchObject({ code: Code.UNAVAILABLE, reason: "UPSTREAM_TIMEOUT", deltas: 1 });
  expect(pings).toBeGreaterThanOrEqual(15);
});

test("a reader that takes its time is no silence of the engine's", async () => {
  const events = [chunk({ content: "a" }), chunk({ content: "b" }), chunk({}, "stop"), usageChunk(1, 2), done];
  open = await fronted({ "/v1/chat/completions": sse(...events) }, { env: { IDLE_TIMEOUT_MS: "200" } });
  const slowly = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));
  expect((await run(open.runtime, {}, { onDelta: slowly })).text).toBe("ab");
});

test("an engine that is gone is UNAVAILABLE at once", async () => {
  open = await fronted({});
  await open.engine.close();
  expect(await failure(silent)).toMatchObject({ code: Code.UNAVAILABLE, accepted: false });
});

test.each(["before the head", "in mid-stream"])(
  "an abort %s closes the engine's connection at once, and throws its reason",
  async (when) => {
    const controller = new AbortController();
    const reason = new NodeError(Code.CANCELLED, "gone");
    let taken = false;
    let closed = false;
    const onClose = (): void => {
      closed = true;
    };
    const held: Handler = (response) => {
      taken = true;
      response.on("close", onClose);
    };
    open = await fronted({ "/v1/chat/completions": when === "before the head" ? held : endless(onClose) });
    const over = run(open.runtime, {}, { signal: controller.signal, onDelta: () => controller.abort(reason) });
    over.catch(() => undefined);
    if (when === "before the head") {
      await eventually(() => taken);
      controller.abort(reason);
    }
    await expect(over).rejects.toBe(reason);
    await eventually(() => closed);
  },
);

test("the end of the node ends what runs as UNAVAILABLE", async () => {
  let closed = false;
  open = await fronted({
    "/v1/chat/completions": endless(() => {
      closed = true;
    }),
  });
  const { runtime } = open;
  const over = run(runtime, {}, { onDelta: () => runtime.close() });
  await expect(over).rejects.toMatchObject({ code: Code.UNAVAILABLE });
  await eventually(() => closed);
});

test("kept connections that the engine closes just as they are used again cost no request", async () => {
  const answer = sse(chunk({ content: "a" }), chunk({}, "stop"), usageChunk(1, 1), done);
  const seen = new WeakSet<object>();
  let torn = 0;
  open = await fronted({
    "/v1/chat/completions": (response, asked) => {
      const { socket } = response;
      if (socket !== null && seen.has(socket)) {
        torn += 1;
        // Before a byte of an answer: as a server does whose patience with an idle connection has run out.
        socket.resetAndDestroy();
        return;
      }
      if (socket !== null) seen.add(socket);
      return answer(response, asked);
    },
  });
  for (let at = 0; at < 50 && torn < 3; at += 1) expect((await run(open.runtime)).text).toBe("a");
  expect(torn).toBe(3);
});

test("what a Sluice ignored is refused by name, not left out in silence", async () => {
  const ignoring: Handler = (response) => {
    response.writeHead(200, { ...head, "x-sluice-ignored": "deterministic, other" });
    response.write(sseText(chunk({ content: "a" })));
  };
  const error = await failure(ignoring, { env: { FLAVOR: "sluice" } }, { deterministic: true });
  expect(error).toMatchObject({ code: Code.UNIMPLEMENTED, param: "deterministic", deltas: 0, accepted: false });
  await eventually(() => open?.engine.open === 0);
});

test("a request that the engine is slow to take counts as accepted after some seconds, so that nobody waits in silence", async () => {
  const clock = manualClock();
  const release = Promise.withResolvers<void>();
  let taken = false;
  const late: Handler = async (response, asked) => {
    taken = true;
    await release.promise;
    return sse(chunk({ content: "a" }), chunk({}, "stop"), usageChunk(1, 1), done)(response, asked);
  };
  open = await fronted({ "/v1/chat/completions": late }, { clock });
  let accepted = false;
  const onAccepted = (): void => {
    accepted = true;
  };
  const over = run(open.runtime, {}, { onAccepted });
  await eventually(() => taken);
  await clock.advance(4_999);
  expect(accepted).toBe(false);
  await clock.advance(1);
  expect(accepted).toBe(true);
  release.resolve();
  expect((await over).text).toBe("a");
});
