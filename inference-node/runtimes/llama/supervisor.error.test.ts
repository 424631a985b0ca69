// A native child that dies before it ever answered: the start fails, once, whichever of its ends is seen first.
import { beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../../clock.ts";
import type { LoadedModel } from "./protocol.ts";
import { Supervisor } from "./supervisor.ts";
import { children, type FakeChild } from "./testing/fake-child.ts";

vi.mock("node:child_process", async () => ({ fork: (await import("./testing/fake-child.ts")).fork }));

beforeEach(() => {
  children.length = 0;
});

function supervise(): { supervisor: Supervisor; started: Promise<void>; child: FakeChild } {
  const supervisor = new Supervisor({
    load: {} as ConstructorParameters<typeof Supervisor>[0]["load"],
    clock: systemClock,
    log: () => undefined,
    childEnv: {},
    stepTimeoutMs: 60_000,
    loadTimeoutMs: 60_000,
    onState: () => undefined,
    onEvents: () => undefined,
    onDeath: () => undefined,
  });
  const started = supervisor.start();
  started.catch(() => undefined);
  return { supervisor, started, child: children.at(-1) as FakeChild };
}

/** Long enough for a start that answers the first death at once. */
const settle = (): Promise<void> => systemClock.sleep(20);

test("a child that dies while it loads fails the start, also when its channel goes first", async () => {
  const { started, child } = supervise();
  child.emit("disconnect");
  await expect(started).rejects.toThrow(/died while .*SIGKILL/);
  await settle();
  expect(children).toHaveLength(1);
});

test("a model that does not load fails the start with its reason, and no other child is started", async () => {
  const { started, child } = supervise();
  child.says({ type: "load_failed", message: "no such model" });
  child.emit("disconnect");
  await expect(started).rejects.toThrow("no such model");
  await settle();
  expect(children).toHaveLength(1);
});

test("a child that cannot be started at all fails the start", async () => {
  const { started, child } = supervise();
  Object.assign(child, { pid: undefined });
  child.emit("error", new Error("spawn EAGAIN"));
  await expect(started).rejects.toThrow("spawn EAGAIN");
});

test("a later child that cannot be started is tried again", async () => {
  const { supervisor, started, child } = supervise();
  child.says({ type: "loaded", model: {} as LoadedModel });
  await started;
  child.emit("exit", null, "SIGKILL");
  await settle();
  const second = children.at(-1) as FakeChild;
  expect(second).not.toBe(child);
  Object.assign(second, { pid: undefined });
  second.emit("error", new Error("spawn EAGAIN"));
  await expect.poll(() => children.length).toBe(3);
  await supervisor.close();
});
