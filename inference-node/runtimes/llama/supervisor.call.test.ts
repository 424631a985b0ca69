// A question to the native child gets its answer, or tells the child when nobody waits for it any more.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../../clock.ts";
import { Code } from "../../node-error.ts";
import type { LoadedModel, ToChild } from "./protocol.ts";
import { Supervisor } from "./supervisor.ts";
import { children, type FakeChild } from "./testing/fake-child.ts";

vi.mock("node:child_process", async () => ({ fork: (await import("./testing/fake-child.ts")).fork }));

let supervisor: Supervisor;
let child: FakeChild;
let caller: AbortController;

const question = (call: number): ToChild => ({ type: "tokenize", call, text: "", specialTokens: false });
const cancelled = (): ToChild[] => child.heard.filter(({ type }) => type === "cancel_call");

beforeEach(async () => {
  children.length = 0;
  supervisor = new Supervisor({
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
  child = children[0] as FakeChild;
  child.says({ type: "loaded", model: {} as LoadedModel });
  await started;
  caller = new AbortController();
});

afterEach(() => supervisor.close());

test("each answer goes to its own question, whatever the order", async () => {
  const [first, second] = [supervisor.call(question), supervisor.call(question)];
  child.says({ type: "reply", call: 2, value: "two" });
  const error = { code: Code.OUT_OF_RANGE, message: "long", param: "text", reason: "R", metadata: { a: "1" } };
  child.says({ type: "reply_error", call: 1, error });
  expect(await second).toBe("two");
  await expect(first).rejects.toMatchObject(error);
});

test("a question that is given up is cancelled in the child", async () => {
  const answer = supervisor.call(question, caller.signal);
  caller.abort();
  expect(cancelled()).toEqual([{ type: "cancel_call", call: 1 }]);
  child.says({ type: "reply", call: 1, value: "" });
  await answer;
});

test("a question that was answered is not cancelled any more", async () => {
  const answer = supervisor.call(question, caller.signal);
  child.says({ type: "reply", call: 1, value: "" });
  caller.abort();
  await answer;
  expect(cancelled()).toEqual([]);
});

test("a child that is gone is told nothing, and its questions fail retryably", async () => {
  const answer = supervisor.call(question, caller.signal);
  child.emit("disconnect");
  caller.abort();
  await expect(answer).rejects.toMatchObject({ code: Code.UNAVAILABLE });
  expect(cancelled()).toEqual([]);
  await expect(supervisor.call(question)).rejects.toMatchObject({ code: Code.UNAVAILABLE });
});
