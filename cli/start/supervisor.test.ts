// A service is started again after a crash, sooner or later, and given up when that is hopeless.
import { describe, expect, test, vi } from "vitest";
import { RestartPolicy } from "./restart-policy.ts";
import type { Exit, Service } from "./service.ts";
import { describeExit, Supervisor } from "./supervisor.ts";

describe("the restart policy", () => {
  test("waits longer from crash to crash, and gives up at the sixth within a minute", () => {
    const policy = new RestartPolicy();
    const delays = [0, 1, 2, 3, 4, 5].map((second) => policy.delayAfterCrash(second * 1_000));
    expect(delays).toEqual([0, 500, 1_000, 2_000, 5_000, undefined]);
  });

  test("forgives what is a minute ago", () => {
    const policy = new RestartPolicy();
    for (let minute = 0; minute < 20; minute += 1) expect(policy.delayAfterCrash(minute * 60_000)).toBe(0);
  });
});

interface Fake {
  service: Service;
  end: (exit: Exit) => void;
}

function fakeService(): Fake {
  let end: (exit: Exit) => void = () => undefined;
  const exited = new Promise<Exit>((resolve) => {
    end = resolve;
  });
  const service = {
    pid: 1,
    exited,
    ended: false,
    kill: () => end({ code: null, signal: "SIGKILL" }),
    stop: async () => end({ code: 0, signal: null }),
  };
  return { service: service as unknown as Service, end };
}

function setUp() {
  const fakes: Fake[] = [];
  const said: string[] = [];
  const givenUp: string[] = [];
  const start = vi.fn(async () => {
    const fake = fakeService();
    fakes.push(fake);
    return fake.service;
  });
  const supervisor = new Supervisor({
    name: "The node",
    start,
    onChange: () => undefined,
    onCrash: (sentence) => said.push(sentence),
    onGivenUp: (sentence) => givenUp.push(sentence),
    now: () => 0,
  });
  return { supervisor, start, fakes, said, givenUp };
}

describe("the supervisor", () => {
  test("starts a crashed service again and says so", async () => {
    const { supervisor, fakes, said } = setUp();
    await supervisor.start();
    supervisor.keep();
    fakes[0]?.end({ code: 3, signal: null });
    await vi.waitFor(() => expect(fakes).toHaveLength(2));
    expect(said).toEqual(["The node ended unexpectedly (exit code 3); starting it again."]);
    expect(supervisor.service).toBe(fakes[1]?.service);
    await supervisor.stop(0);
  });

  test("starts a service again that it was told to kill", async () => {
    const { supervisor, fakes } = setUp();
    await supervisor.start();
    supervisor.keep();
    supervisor.kill();
    await vi.waitFor(() => expect(fakes).toHaveLength(2));
    await supervisor.stop(0);
  });

  test("starts nothing after a stop", async () => {
    const { supervisor, start, said } = setUp();
    await supervisor.start();
    supervisor.keep();
    await supervisor.stop(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(start).toHaveBeenCalledTimes(1);
    expect(said).toEqual([]);
  });

  test("gives up, once, when the service cannot be started again", async () => {
    const { supervisor, start, fakes, givenUp } = setUp();
    await supervisor.start();
    supervisor.keep();
    start.mockRejectedValueOnce(new Error("no memory"));
    fakes[0]?.end({ code: null, signal: "SIGABRT" });
    await vi.waitFor(() => expect(givenUp).toEqual(["The node cannot be started again (no memory)"]));
    expect(start).toHaveBeenCalledTimes(2);
  });
});

test("an exit is told by its code or its signal", () => {
  expect(describeExit({ code: 1, signal: null })).toBe("exit code 1");
  expect(describeExit({ code: null, signal: "SIGSEGV" })).toBe("SIGSEGV");
});
