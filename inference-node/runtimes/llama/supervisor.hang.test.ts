// A native child that hangs is ended and replaced; one that is idle, slow, or heard late is left alone.
import { beforeEach, expect, test, vi } from "vitest";
import type { LogEntry } from "../../log.ts";
import { Code, type NodeError } from "../../node-error.ts";
import { type ManualClock, manualClock } from "../../testing/manual-clock.ts";
import type { GenerateOptions, GenerationEvent, LoadedModel } from "./protocol.ts";
import { type ChildState, Supervisor } from "./supervisor.ts";
import { children, type FakeChild } from "./testing/fake-child.ts";

vi.mock("node:child_process", async () => ({ fork: (await import("./testing/fake-child.ts")).fork }));

const stepTimeoutMs = 60_000;
const loadTimeoutMs = 900_000;
const loaded = { type: "loaded", model: {} as LoadedModel } as const;
const finished: GenerationEvent = {
  type: "finished",
  key: 1,
  reason: "stop",
  stop: "",
  cachedTokens: 0,
  guessedTokens: 0,
  guessedRight: 0,
  completionTokens: 1,
  prefillMs: 1,
  decodeMs: 1,
};

let clock: ManualClock;
let entries: LogEntry[];
let states: ChildState[];
let deaths: NodeError[];
let supervisor: Supervisor;
let started: Promise<void>;

const child = (): FakeChild => children.at(-1) as FakeChild;
const generate = (key: number): void =>
  supervisor.send({ type: "generate", key, options: {} as unknown as GenerateOptions });
const hung = (): LogEntry[] => entries.filter(({ event }) => event === "runtime.hung");

/** Lets time pass as it does, in small steps. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) await clock.advance(Math.min(left, 1_000));
}

beforeEach(() => {
  children.length = 0;
  [entries, states, deaths] = [[], [], []];
  clock = manualClock();
  supervisor = new Supervisor({
    load: {} as ConstructorParameters<typeof Supervisor>[0]["load"],
    clock,
    log: (entry) => entries.push(entry),
    childEnv: {},
    stepTimeoutMs,
    loadTimeoutMs,
    onState: (state) => states.push(state),
    onEvents: () => undefined,
    onDeath: (error) => deaths.push(error),
  });
  started = supervisor.start();
  started.catch(() => undefined);
});

test("a step that does not end kills the child, fails its streams retryably, and says why", async () => {
  child().says(loaded);
  generate(1);
  await pass(stepTimeoutMs - 1);
  expect(hung()).toEqual([]);
  const first = child();
  await pass(1);
  expect(first.signals).toEqual(["SIGKILL"]);
  expect(deaths[0]).toMatchObject({ code: Code.UNAVAILABLE, retryAfterMs: expect.any(Number) });
  expect(states.slice(0, 3)).toEqual(["ready", "down", "loading"]);
  expect(hung()).toMatchObject([
    { level: "error", pid: 1, message: expect.stringMatching(/finished no step for 60000 ms.*SLUICE_STEP_TIMEOUT_MS/) },
  ]);
  expect(entries.find(({ event }) => event === "runtime.died")?.message).toBe(hung()[0]?.message);
  expect(children).toHaveLength(2);
});

test("streams fail at the verdict, not only when the kernel has ended the child", async () => {
  child().says(loaded);
  vi.spyOn(child(), "kill").mockReturnValue(undefined);
  generate(1);
  await pass(stepTimeoutMs);
  expect(deaths).toHaveLength(1);
  expect(() => generate(2)).toThrow(/restarting/);
  // What it says after that is heard by nobody: the model is not ready because of it.
  child().says(loaded);
  expect(states.at(-1)).toBe("down");
  expect(children).toHaveLength(1);
});

test("each ended step counts the time anew, also one that brought no token", async () => {
  child().says(loaded);
  generate(1);
  for (let step = 0; step < 20; step++) {
    await pass(stepTimeoutMs - 1);
    child().says({ type: "events", events: [] });
  }
  expect(hung()).toEqual([]);
  await pass(stepTimeoutMs * 1.1);
  expect(children[0]?.signals).toEqual(["SIGKILL"]);
});

test("an idle child is never taken for a hung one, be it new or done with its work", async () => {
  child().says(loaded);
  await pass(stepTimeoutMs * 3);
  generate(1);
  await pass(stepTimeoutMs / 2);
  child().says({ type: "events", events: [finished] });
  await pass(stepTimeoutMs * 3);
  expect(hung()).toEqual([]);
});

test("work after a long rest gets the whole time", async () => {
  child().says(loaded);
  await pass(stepTimeoutMs * 3 - 5_000);
  generate(1);
  await pass(stepTimeoutMs - 1);
  expect(hung()).toEqual([]);
});

test("a generation that ends leaves the others watched", async () => {
  child().says(loaded);
  generate(1);
  generate(2);
  child().says({ type: "events", events: [finished] });
  await pass(stepTimeoutMs * 1.1);
  expect(children[0]?.signals).toEqual(["SIGKILL"]);
});

test("answers to calls do not hide a step that hangs in another thread", async () => {
  child().says(loaded);
  generate(1);
  const first = child();
  for (let seconds = 0; seconds < 60; seconds++) {
    const answer = supervisor.call((call) => ({ type: "tokenize", call, text: "", specialTokens: false }));
    answer.catch(() => undefined);
    if (first.signals.length === 0) first.says({ type: "reply", call: seconds + 1, value: "" });
    await pass(1_000);
  }
  expect(first.signals).toEqual(["SIGKILL"]);
});

test("a call that is not answered kills the child and is refused retryably", async () => {
  child().says(loaded);
  const answer = supervisor.call((call) => ({ type: "tokenize", call, text: "", specialTokens: false }));
  const outcome = expect(answer).rejects.toMatchObject({ code: Code.UNAVAILABLE });
  await pass(stepTimeoutMs);
  await outcome;
  expect(hung()[0]?.message).toMatch(/answered nothing/);
});

test("the time for which this process itself did not run is not held against the child", async () => {
  child().says(loaded);
  generate(1);
  // Stopped for an hour: one late wake-up, before which nothing could be read.
  await clock.advance(3_600_000);
  child().says({ type: "events", events: [] });
  await pass(stepTimeoutMs - 1);
  expect(hung()).toEqual([]);
});

test("a first load that never ends fails the start with what to do", async () => {
  await pass(loadTimeoutMs);
  await expect(started).rejects.toThrow(/did not load the model within 900000 ms.*SLUICE_LOAD_TIMEOUT_MS/);
  expect(children).toHaveLength(1);
});

test("a later load that never ends is ended and tried again", async () => {
  child().says(loaded);
  child().emit("exit", null, "SIGSEGV");
  await expect.poll(() => children.length).toBe(2);
  await pass(loadTimeoutMs);
  expect(children[1]?.signals).toEqual(["SIGKILL"]);
  await expect.poll(() => children.length).toBe(3);
  expect(hung()[0]?.message).toMatch(/did not load/);
});

test("a load that ends in time is not counted on", async () => {
  await pass(loadTimeoutMs - 1);
  child().says(loaded);
  await started;
  await pass(loadTimeoutMs);
  expect(hung()).toEqual([]);
});
