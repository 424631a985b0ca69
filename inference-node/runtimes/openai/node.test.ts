// A node in front of an engine that may refuse what the node lets in: refusals keep their status, and nobody waits in silence.
import { afterEach, expect, test } from "vitest";
import { Code } from "../../node-error.ts";
import { casesOf, scripted, textOf } from "../../testing/test-client.ts";
import { eventually, startTestNode, type TestNode } from "../../testing/test-node.ts";
import { chunk, done, type Handler, json, sse, usageChunk } from "./testing/fake-upstream.ts";
import { type Fronted, fronted } from "./testing/fronted.ts";

let open: { node: TestNode; engine: Fronted["engine"] } | undefined;

afterEach(async () => {
  await open?.node.close();
  await open?.engine.close();
  open = undefined;
});

const answer = sse(chunk({ content: "a" }), chunk({}, "stop"), usageChunk(4, 1), done);

async function nodeOver(handler: Handler, sequences = 8): Promise<TestNode> {
  const { engine, runtime } = await fronted({ "/v1/chat/completions": handler }, { sequences, start: false });
  const node = await startTestNode({ runtime });
  open = { node, engine };
  return node;
}

const ask = (more: object = {}) => scripted("Hi", { model: "fake", ...more });

test("an engine's refusal comes before Admitted, and counts as refused", async () => {
  const message = "This model's maximum context length is 10 tokens. However, your messages resulted in 12 tokens.";
  const node = await nodeOver(json(400, { error: { message } }));
  const { events, failure } = await node.clients.native.generate(ask());
  expect(events).toEqual([]);
  expect(failure).toMatchObject({
    code: Code.OUT_OF_RANGE,
    reason: "CONTEXT_LENGTH_EXCEEDED",
    metadata: { context_length: "10", prompt_tokens: "12", param: "prompt" },
  });
  expect(await node.metric("sluice_requests_refused_total")).toBe(1);
});

test("an answer is Admitted, Prefilled, Delta and Finished, as from every runtime", async () => {
  const node = await nodeOver(answer);
  const result = await node.clients.native.generate(ask());
  expect(casesOf(result)).toEqual(["admitted", "prefilled", "delta", "finished"]);
  expect(textOf(result)).toBe("a");
});

test("what waits in the node's queue is told so at once, and is not sent before its turn", async () => {
  const release = Promise.withResolvers<void>();
  const node = await nodeOver(async (response, asked) => {
    await release.promise;
    return answer(response, asked);
  }, 1);
  const asked = (): number => open?.engine.to("/v1/chat/completions").length ?? 0;
  const running = node.clients.native.generate(ask());
  await eventually(() => asked() === 1);
  let position = -1;
  const queued = node.clients.native.generate(ask(), {
    onEvent: ({ event }) => {
      if (event.case === "admitted") position = event.value.queuePosition;
    },
  });
  await eventually(() => position === 1);
  expect(asked()).toBe(1);
  release.resolve();
  expect((await running).failure).toBeUndefined();
  expect((await queued).failure).toBeUndefined();
  expect(asked()).toBe(2);
});

test("a prompt is not refused by an estimate, whatever its length, and no estimate is given for a count", async () => {
  const node = await nodeOver(answer);
  const long = scripted("word ".repeat(6_000), { model: "fake" });
  expect((await node.clients.native.generate(long)).failure).toBeUndefined();
  const counted = node.clients.native.unary("countTokens", { model: "fake", prompt: long.prompt });
  await expect(counted).rejects.toMatchObject({ code: Code.UNIMPLEMENTED });
});

test("what the engine does not take is refused by name before anything is sent", async () => {
  const node = await nodeOver(answer);
  const { failure } = await node.clients.native.generate(ask({ sampling: { typicalP: 0.5 } }));
  expect(failure).toMatchObject({ code: Code.UNIMPLEMENTED, metadata: { param: "sampling.typical_p" } });
  const budget = await node.clients.native.generate(ask({ prefixCache: { disabled: true }, thinking: { effort: 1 } }));
  expect(budget.failure).toMatchObject({ code: Code.UNIMPLEMENTED, metadata: { param: "thinking" } });
  expect(open?.engine.to("/v1/chat/completions")).toHaveLength(0);
});
