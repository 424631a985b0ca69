// A node with one slot and many callers: who runs next, who has to wait for whom, and what a refusal says.
import { afterEach, describe, expect, it } from "vitest";
import { FinishReason, type GenerateRequest, Priority } from "../proto/gen/sluice/inference/v1/generate_pb.js";
import { Role } from "../proto/gen/sluice/inference/v1/prompt_pb.js";
import { Code } from "./node-error.ts";
import { type StreamResult, scripted } from "./testing/test-client.ts";
import { eventually, startTestNode, type TestNode, type TestNodeOptions } from "./testing/test-node.ts";

type StreamPromise = Promise<StreamResult>;

const patientMs = 10_000;
let node: TestNode | undefined;

afterEach(() => node?.close());

async function start(options: TestNodeOptions = {}): Promise<TestNode> {
  node = await startTestNode({ sequences: 1, queueDepthMax: 256, queueTokensMax: 100_000, ...options });
  return node;
}

/** Tenants in the order in which their generations ended well. */
function ended({ entries }: TestNode): string[] {
  return entries
    .filter(
      ({ event, finish_reason: reason }) => event === "generate.end" && reason === FinishReason[FinishReason.STOP],
    )
    .map(({ tenant }) => String(tenant));
}

const waiting = (one: TestNode, priority = "interactive") =>
  one.metric(`sluice_num_requests_waiting{model_name="scripted",priority="${priority}"}`);

/** Holds a slot until `letGo`. */
async function holdSlot(one: TestNode, priority = Priority.INTERACTIVE) {
  const holding = new AbortController();
  const request = scripted({ text: "x", prefill_ms: 60_000 }, { tenant: "holder", priority });
  const held = one.clients.native.generate(request, { signal: holding.signal });
  await eventually(async () => (await one.metric("sluice_num_requests_running")) > 0, patientMs);
  return {
    letGo: async () => {
      holding.abort();
      await held;
    },
  };
}

describe.each(["native", "web"] as const)("through the %s door", (door) => {
  it("a tenant's one request runs after what runs, not after another's hundred that wait", async () => {
    const one = await start();
    const slow = { text: "x", prefill_ms: 30 };
    const gone = new AbortController();
    const request = (tenant: string, signal?: AbortSignal): StreamPromise =>
      one.clients[door].generate(scripted(slow, { tenant }), signal === undefined ? {} : { signal });
    const hundred = Array.from({ length: 100 }, () => request("a", gone.signal));
    await eventually(() => ended(one).length >= 5, patientMs);
    const before = ended(one).length;
    await request("b");
    // The one that ran, and those that ran while the request was on its way; in the order of arrival it were over ninety.
    expect(ended(one).indexOf("b") - before).toBeLessThanOrEqual(20);
    gone.abort();
    await Promise.all(hundred);
    await eventually(async () => (await one.metric("sluice_num_requests_running")) === 0);
    expect(await waiting(one)).toBe(0);
  });

  it("batch work waits until no interactive request does", async () => {
    const one = await start();
    const holder = await holdSlot(one);
    const batch = { tenant: "night", priority: Priority.BATCH };
    const all: Promise<StreamResult>[] = [];
    for (let count = 0; count < 5; count += 1) all.push(one.clients[door].generate(scripted("x", batch)));
    await eventually(async () => (await waiting(one, "batch")) === 5, patientMs);
    for (let count = 0; count < 5; count += 1) all.push(one.clients[door].generate(scripted("x", { tenant: "day" })));
    await eventually(async () => (await waiting(one)) === 5, patientMs);
    await holder.letGo();
    await Promise.all(all);
    expect(ended(one)).toEqual([...Array(5).fill("day"), ...Array(5).fill("night")]);
  });

  it("those that hang up while they wait are passed over, and counted by nobody", async () => {
    const one = await start();
    const holder = await holdSlot(one);
    const gone = new AbortController();
    const dead = Array.from({ length: 50 }, () =>
      one.clients[door].generate(scripted("x", { tenant: "dead" }), { signal: gone.signal }),
    );
    const alive = one.clients[door].generate(scripted("x", { tenant: "alive" }));
    await eventually(async () => (await waiting(one)) === 51, patientMs);
    gone.abort();
    await Promise.all(dead);
    await eventually(async () => (await waiting(one)) === 1, patientMs);
    await holder.letGo();
    expect((await alive).failure).toBeUndefined();
    expect(ended(one)).toEqual(["alive"]);
    expect(await one.metric("sluice_num_requests_running")).toBe(0);
  });
});

it("batch work leaves a slot to interactive requests", async () => {
  const one = await start({ sequences: 4 });
  const gone = new AbortController();
  const request = (): StreamPromise =>
    one.clients.native.generate(scripted({ text: "x", prefill_ms: 60_000 }, { priority: Priority.BATCH }), {
      signal: gone.signal,
    });
  const batch = Array.from({ length: 8 }, request);
  await eventually(async () => (await waiting(one, "batch")) === 5, patientMs);
  expect(await one.metric("sluice_num_requests_running")).toBe(3);
  expect((await one.clients.native.generate(scripted("at once"))).events[0]?.event.value).toMatchObject({
    queuePosition: 0,
  });
  gone.abort();
  await Promise.all(batch);
});

/** A long chat whose last message is the script. */
function longChat(script: object, tenant: string): GenerateRequest {
  const messages = [
    { role: Role.SYSTEM, content: "x".repeat(4_000) },
    { role: Role.USER, content: JSON.stringify(script) },
  ];
  return scripted("", { tenant, prompt: { form: { case: "chat", value: { messages } } } });
}

it.each<[string, object, object]>([
  ["generated tokens", { chunks: 1_500 }, { chunks: 1 }],
  ["prompts that were not reused", { text: "x" }, { text: "x", usage: { cached_tokens: 1_000 } }],
])("a tenant is charged for what it was served: %s", async (_, dear, cheap) => {
  const one = await start();
  const holder = await holdSlot(one);
  const all = Array.from({ length: 20 }, () => [
    one.clients.native.generate(longChat(dear, "dear")),
    one.clients.native.generate(longChat(cheap, "cheap")),
  ]).flat();
  await eventually(async () => (await waiting(one)) === 40, patientMs);
  await holder.letGo();
  for (const result of await Promise.all(all)) expect(result.failure).toBeUndefined();
  expect(
    ended(one)
      .slice(0, 16)
      .filter((tenant) => tenant === "cheap").length,
  ).toBeGreaterThanOrEqual(11);
});

it("a long answer counts while it runs", async () => {
  const one = await start({ sequences: 2 });
  const holder = await holdSlot(one);
  const gone = new AbortController();
  let tokens = 0;
  const endless = one.clients.native.generate(scripted({ chunks: 100_000, delay_ms: 1 }, { tenant: "long" }), {
    signal: gone.signal,
    onEvent: ({ event }) => {
      if (event.case === "delta") tokens = event.value.completionTokens;
    },
  });
  await eventually(() => tokens > 0, patientMs);
  const all = Array.from({ length: 10 }, (_, index) =>
    one.clients.native.generate(scripted({ text: "x" }, { tenant: index < 5 ? "long" : "short" })),
  );
  await eventually(async () => (await waiting(one)) === 10, patientMs);
  const enough = tokens + 300;
  await eventually(() => tokens > enough, patientMs);
  await holder.letGo();
  await Promise.all(all);
  gone.abort();
  await endless;
  expect(ended(one)).toEqual([...Array(5).fill("short"), ...Array(5).fill("long")]);
});

it("refuses a request that would miss its deadline in the queue, says when it would not, and counts it", async () => {
  const one = await start();
  const run = (more = {}): StreamPromise => one.clients.native.generate(scripted({ text: "x", prefill_ms: 400 }), more);
  await run();
  const line = [run(), run(), run(), run(), run(), run()];
  await eventually(async () => (await waiting(one)) === 5, patientMs);
  const { events, failure } = await run({ timeoutMs: 1_000 });
  expect(events).toEqual([]);
  expect(failure).toMatchObject({ code: Code.RESOURCE_EXHAUSTED, reason: "QUEUE_TOO_SLOW" });
  // Six slots' times of 400 ms, less the second that it has, and what has passed by then.
  expect(failure?.retryMs).toBeGreaterThanOrEqual(1_000);
  expect(failure?.retryMs).toBeLessThan(30_000);
  const name = 'sluice_admission_rejections_total{model_name="scripted",reason="queue_too_slow"}';
  expect(await one.metrics()).toContain(`${name} 1`);
  for (const result of await Promise.all(line)) expect(result.failure).toBeUndefined();
});
