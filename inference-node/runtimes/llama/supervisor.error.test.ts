// A native child that dies before it ever answered: the start fails, once, whichever of its ends is seen first.
import { EventEmitter } from "node:events";
import { beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../../clock.ts";
import { Supervisor } from "./supervisor.ts";

class FakeChild extends EventEmitter {
  readonly pid: number | undefined = 1;
  readonly connected = true;
  readonly exitCode = null;
  readonly signalCode = null;
  send(): void {}
  kill(): void {
    queueMicrotask(() => this.emit("exit", null, "SIGKILL"));
  }
}

const children = vi.hoisted((): unknown[] => []);

vi.mock("node:child_process", () => ({
  fork: () => {
    const child = new FakeChild();
    children.push(child);
    return child;
  },
}));

beforeEach(() => {
  children.length = 0;
});

function supervise(): { supervisor: Supervisor; started: Promise<void>; child: FakeChild } {
  const supervisor = new Supervisor({
    load: {} as ConstructorParameters<typeof Supervisor>[0]["load"],
    clock: systemClock,
    log: () => undefined,
    childEnv: {},
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
  child.emit("message", { type: "load_failed", message: "no such model" });
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
  child.emit("message", { type: "loaded", model: {} });
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
