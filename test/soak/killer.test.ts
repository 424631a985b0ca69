// The killer ends processes at random moments, knows when the engine was away, and tells when it does not come back.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Stack } from "../support/stack.ts";
import { until } from "../support/wait.ts";
import { Killer, Outages } from "./killer.ts";
import { Random } from "./random.ts";

const children: ChildProcess[] = [];
const servers: Server[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const server of servers.splice(0)) server.close();
});

/** A stack whose engine is a program that does nothing; a dead one gets a successor, but for the last. */
async function fakeStack(engines: number): Promise<{ stack: Stack; deaths: string[] }> {
  const deaths: string[] = [];
  const pids = { start: 0, node: 0, edge: 0, runtime: null as number | null };
  const start = (left: number): void => {
    if (left === 0) return;
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    children.push(child);
    pids.runtime = child.pid ?? null;
    child.once("exit", (_code, signal) => {
      deaths.push(String(signal));
      start(left - 1);
    });
  };
  start(engines);
  const server = createServer((_request, response) => response.end()).listen(0, "127.0.0.1");
  servers.push(server);
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { stack: { url, pids } as unknown as Stack, deaths };
}

function killerOf(stack: Stack, backWithinMs: number): { killer: Killer; outages: Outages } {
  const outages = new Outages();
  const shared = { stack, outages, random: new Random(1), now: () => performance.now(), onEvent: () => undefined };
  return { killer: new Killer({ ...shared, everyMs: 50, hangShare: 0, backWithinMs }), outages };
}

test("kills again and again until it is told to stop, and remembers each outage until the engine was back", async () => {
  const { stack, deaths } = await fakeStack(1_000);
  const { killer, outages } = killerOf(stack, 20_000);
  const before = performance.now();
  const over = new AbortController();
  const running = killer.run(over.signal);
  await until("three kills", () => killer.kills >= 3);
  over.abort();
  await running;
  expect(killer.fault).toBeUndefined();
  expect(deaths.slice(0, 3)).toEqual(["SIGKILL", "SIGKILL", "SIGKILL"]);
  expect(outages.within(before, performance.now())).toBe(true);
  const after = performance.now();
  expect(outages.within(after + 1, after + 2)).toBe(false);
});

test("an engine that does not come back is a fault, and ends the killing", async () => {
  const { stack } = await fakeStack(1);
  const { killer } = killerOf(stack, 200);
  await killer.run(new AbortController().signal);
  expect(killer.fault).toMatch(/^The engine was not back 0 s after process \d+ was killed\.$/);
});

test("an outage counts for whatever ran during any part of it", () => {
  const outages = new Outages();
  expect(outages.within(0, 1_000)).toBe(false);
  outages.begin(100);
  expect(outages.within(50, 99)).toBe(false);
  expect(outages.within(500, 600)).toBe(true);
  outages.end(200);
  expect([outages.within(0, 100), outages.within(150, 160), outages.within(200, 300)]).toEqual([true, true, true]);
  expect(outages.within(201, 300)).toBe(false);
});
