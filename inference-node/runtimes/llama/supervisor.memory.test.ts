// A native child that grows above the operator's ceiling is replaced: its streams may end, new ones wait for the next.
import { beforeEach, expect, test, vi } from "vitest";
import type { LogEntry } from "../../log.ts";
import { type ManualClock, manualClock } from "../../testing/manual-clock.ts";
import type { GenerateOptions, LoadedModel } from "./protocol.ts";
import { type ChildState, Supervisor, type Work } from "./supervisor.ts";
import { children, type FakeChild } from "./testing/fake-child.ts";

vi.mock("node:child_process", async () => ({ fork: (await import("./testing/fake-child.ts")).fork }));

const mb = 1e6;
let clock: ManualClock;
let entries: LogEntry[];
let states: ChildState[];
let deaths: (readonly Work[] | undefined)[];
let supervisor: Supervisor;
let started: Promise<void>;

const child = (): FakeChild => children.at(-1) as FakeChild;
const load = (residentBytes: number): void => child().says({ type: "loaded", model: {} as LoadedModel, residentBytes });
const weigh = (residentBytes: number): void => child().says({ type: "memory", residentBytes });
const generate = (key: number): void =>
  supervisor.send({ type: "generate", key, options: { requestId: `r${key}` } as unknown as GenerateOptions });
const finish = (key: number): void =>
  child().says({ type: "events", events: [{ type: "cancelled", key, steps: 0, completionTokens: 1 }] });
const events = (): string[] => entries.map(({ event }) => event);

beforeEach(() => {
  children.length = 0;
  [entries, states, deaths] = [[], [], []];
  clock = manualClock();
  supervisor = new Supervisor({
    load: {} as ConstructorParameters<typeof Supervisor>[0]["load"],
    clock,
    log: (entry) => entries.push(entry),
    childEnv: {},
    stepTimeoutMs: 3_600_000,
    loadTimeoutMs: 3_600_000,
    memoryBytesMax: 1_000 * mb,
    onState: (state) => states.push(state),
    onEvents: () => undefined,
    onDeath: (_error, running) => deaths.push(running),
  });
  started = supervisor.start();
  started.catch(() => undefined);
});

test("an idle child that has grown is replaced at once, and that is no crash", async () => {
  load(500 * mb);
  weigh(999 * mb);
  expect(states).toEqual(["ready"]);
  weigh(1_001 * mb);
  await expect.poll(() => children.length).toBe(2);
  expect(events()).toEqual(expect.arrayContaining(["runtime.replacing", "runtime.replaced"]));
  expect(events()).not.toContain("runtime.died");
  expect(deaths).toEqual([undefined]);
  expect(entries.find(({ event }) => event === "runtime.replacing")?.message).toMatch(
    /1001 MB.*SLUICE_CHILD_MEMORY_MAX_MB/,
  );
});

test("running streams may end, cancelled ones are told so, new ones are not taken meanwhile", async () => {
  load(500 * mb);
  generate(1);
  weigh(1_001 * mb);
  expect(states.at(-1)).toBe("draining");
  expect(() => generate(2)).toThrow(/restarting/);
  supervisor.tell({ type: "cancel", key: 1 });
  expect(child().heard.at(-1)).toEqual({ type: "cancel", key: 1 });
  expect(child().signals).toEqual([]);
  finish(1);
  await expect.poll(() => children.length).toBe(2);
  expect(deaths).toEqual([undefined]);
});

test("a stream that does not end within ten seconds is cut off, without being suspected of anything", async () => {
  load(500 * mb);
  generate(1);
  weigh(1_001 * mb);
  await clock.advance(9_999);
  expect(children).toHaveLength(1);
  await clock.advance(1);
  await expect.poll(() => children.length).toBe(2);
  expect(entries).toContainEqual(expect.objectContaining({ event: "runtime.replaced", cut_off: 1 }));
  expect(deaths).toEqual([undefined]);
});

test("a child that crashes while it drains is a crash", async () => {
  load(500 * mb);
  generate(1);
  weigh(1_001 * mb);
  child().emit("exit", null, "SIGSEGV");
  expect(events()).toContain("runtime.died");
  expect(deaths).toEqual([[expect.objectContaining({ tokens: 0 })]]);
  await expect.poll(() => children.length).toBe(2);
});

test("a first child that is above the ceiling once loaded fails the start with both numbers", async () => {
  load(1_200 * mb);
  await expect(started).rejects.toThrow(/takes 1200 MB once the model is loaded.*SLUICE_CHILD_MEMORY_MAX_MB is 1000/);
  expect(children).toHaveLength(1);
});

test("a later child that is above it from the start is kept, with a warning, rather than replaced for ever", async () => {
  load(500 * mb);
  await started;
  child().emit("exit", null, "SIGKILL");
  await expect.poll(() => children.length).toBe(2);
  load(1_200 * mb);
  weigh(1_300 * mb);
  expect(states.at(-1)).toBe("ready");
  expect(entries).toContainEqual(expect.objectContaining({ level: "warn", event: "runtime.memory" }));
  expect(children).toHaveLength(2);
});
