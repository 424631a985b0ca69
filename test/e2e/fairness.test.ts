// One key's hundred requests, batch work and hang-ups on the real stack: what they cost somebody else.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { chat, scripted, untilSlots } from "../support/chat.ts";
import { type Exchange, fetchRaw } from "../support/exchange.ts";
import { type LogEvent, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

let stack: Stack;
let other: { id: string; key: string };

beforeAll(async () => {
  stack = await startStack({ runtime: "scripted", env: { SLUICE_SEQUENCES: "2" } });
  const made = await fetchRaw(`${stack.url}/admin/v1/keys`, { key: stack.adminKey, body: { name: "the other" } });
  other = JSON.parse(made.text);
});

afterEach(() => untilSlots(stack, 0, 0, 15_000));

afterAll(() => stack?.stop());

const SLOW = { text: "x", prefill_ms: 200 };

const ended = (from = 0): LogEvent[] =>
  stack
    .nodeEvents("generate.end")
    .filter(({ code }) => code === "OK")
    .slice(from);

function ask(script: Record<string, unknown>, more: Record<string, unknown> = {}, key = stack.apiKey): Exchange {
  return chat(stack, { messages: scripted(script), ...more }, { key });
}

function hangUp(all: readonly Exchange[]): void {
  for (const one of all) one.hangUp();
}

test("a key's one request is answered after what runs, not after another key's hundred", async () => {
  const begun = ended().length;
  const hundred = Array.from({ length: 100 }, () => ask(SLOW, { stream: true }));
  await until("five answers", () => ended(begun).length >= 5);
  const before = ended().length;
  expect((await ask(SLOW, {}, other.key).answer).status).toBe(200);
  const mine = (): number => ended(before).findIndex(({ tenant }) => String(tenant).endsWith(`/${other.id}`));
  await until("the node's word on the one", () => mine() >= 0);
  // Two ran, and some ran while the request was on its way; in the order of arrival it were over ninety.
  expect(mine()).toBeLessThan(20);
  hangUp(hundred);
});

test("flexible work waits for everybody else, leaves a slot free, and says that it was flexible", async () => {
  const begun = ended().length;
  const slower = { ...SLOW, prefill_ms: 500 };
  const flexible = Array.from({ length: 6 }, () => ask(slower, { service_tier: "flex" }));
  await untilSlots(stack, 1, 0);
  const urgent = Array.from({ length: 6 }, () => ask({ text: "now" }));
  for (const { answer } of urgent) expect(JSON.parse((await answer).text).choices[0].message.content).toBe("now");
  // One after the other they take three seconds: by now some wait still.
  expect(ended(begun).filter(({ duration_ms: ms }) => Number(ms) >= slower.prefill_ms).length).toBeLessThan(6);
  for (const { answer } of flexible) {
    expect(JSON.parse((await answer).text)).toMatchObject({
      service_tier: "flex",
      choices: [{ finish_reason: "stop" }],
    });
  }
});

test("clients that hang up in the queue leave it, and the next in line is served", async () => {
  const holders = [ask({ text: "x", prefill_ms: 60_000 }, { stream: true }), ask(SLOW, { stream: true })];
  await untilSlots(stack, 2, 0);
  const begun = ended().length;
  const dead = Array.from({ length: 40 }, () => ask({ text: "x", prefill_ms: 60_000 }, { stream: true }));
  await Promise.all(dead.map(({ head }) => head));
  hangUp(dead);
  hangUp(holders.slice(0, 1));
  expect((await ask({ text: "served" }, {}, other.key).answer).status).toBe(200);
  expect(ended(begun).some(({ tenant }) => String(tenant).endsWith(`/${other.id}`))).toBe(true);
});

test("what could not be served within ten minutes is refused at once, with a time to come back", async () => {
  const endless = { text: "x", prefill_ms: 600_000 };
  const holders = [ask(endless, { stream: true }), ask(endless, { stream: true })];
  await untilSlots(stack, 2, 0);
  await sleep(7_000); // The node has seen no slot held for less: two at a time, 171 requests are ten minutes.
  const many = Array.from({ length: 240 }, () => ask(endless, { stream: true }));
  const heads = await Promise.all(many.map(({ head }) => head));
  const refused = heads.filter(({ status }) => status === 503);
  expect(refused.length).toBeGreaterThan(20);
  expect(refused.length + heads.filter(({ status }) => status === 200).length).toBe(240);
  for (const { headers } of refused) {
    expect(Number(headers["retry-after"])).toBeGreaterThanOrEqual(1);
    expect(Number(headers["retry-after"])).toBeLessThanOrEqual(60);
  }
  hangUp([...holders, ...many]);
});
