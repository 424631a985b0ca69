// Requests take turns, input by input; who leaves takes no further turn.
import { expect, test } from "vitest";
import { FairTurns } from "./fair-turns.ts";

const never = new AbortController().signal;

/** Jobs that are done one after another, in the order in which they were begun, when the test says so. */
function bench(width = 1) {
  const begun: string[] = [];
  const open: (() => void)[] = [];
  const turns = new FairTurns({ width: () => width });
  const request = (name: string, count: number, signal = never): Promise<string[]> =>
    turns.run(
      count,
      async (index) => {
        begun.push(`${name}${index}`);
        await new Promise<void>((done) => open.push(done));
        return `${name}${index} done`;
      },
      signal,
    );
  const step = async (): Promise<void> => {
    open.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const finish = async (): Promise<void> => {
    while (open.length > 0) await step();
  };
  return { turns, begun, request, step, finish };
}

test("a request of one input waits for a turn of a long list, not for the list", async () => {
  const { begun, request, step, finish } = bench();
  const long = request("long", 5);
  const short = request("short", 1);
  await step();
  await step();
  await step();
  expect(await short).toEqual(["short0 done"]);
  expect(begun).toEqual(["long0", "long1", "short0", "long2"]);
  await finish();
  expect(await long).toEqual(["long0 done", "long1 done", "long2 done", "long3 done", "long4 done"]);
});

test("three lists share alike, and each gets its results in its own order", async () => {
  const { begun, request, finish } = bench(2);
  const all = ["a", "b", "c"].map((name) => request(name, 3));
  await finish();
  expect(begun).toEqual(["a0", "a1", "a2", "b0", "c0", "b1", "c1", "b2", "c2"]);
  expect((await Promise.all(all)).map((list) => list[2])).toEqual(["a2 done", "b2 done", "c2 done"]);
});

test("a request that is aborted fails at once and begins no further input", async () => {
  const { begun, request, step, finish } = bench();
  const controller = new AbortController();
  const aborted = request("a", 1_000, controller.signal);
  const outcome = expect(aborted).rejects.toThrow("gone");
  await step();
  controller.abort(new Error("gone"));
  await outcome;
  const next = request("b", 1);
  await finish();
  expect(await next).toEqual(["b0 done"]);
  expect(begun).toEqual(["a0", "a1", "b0"]);
});

test("one that was aborted before never begins", async () => {
  const { begun, request } = bench();
  await expect(request("a", 3, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
  expect(begun).toEqual([]);
});

test("a job that fails ends its own request only", async () => {
  const { turns, begun, request, finish } = bench();
  const failing = turns.run(
    3,
    async (index) => {
      begun.push(`f${index}`);
      throw new Error("no such token");
    },
    never,
  );
  const other = request("b", 1);
  await expect(failing).rejects.toThrow("no such token");
  await finish();
  expect(await other).toEqual(["b0 done"]);
  expect(begun).toEqual(["f0", "b0"]);
});

test("nothing to do is done", async () => {
  expect(await bench().request("a", 0)).toEqual([]);
});
