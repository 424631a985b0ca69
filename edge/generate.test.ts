// A generation leaves nothing behind where it listened for the client, however it ends.
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import type { Generation } from "./generate.ts";
import { admitted, prefilled, said, typedError } from "./testing/fake-node.ts";
import type { FakeGenerate } from "./testing/fake-node-types.ts";
import { prepareGeneration, type TestGeneration, TIMEOUT_MS } from "./testing/generation.ts";

async function readAll(generation: Generation): Promise<void> {
  while ((await generation.next()) !== undefined);
}

const untilAborted: FakeGenerate = async function* (_request, signal) {
  yield* [admitted, prefilled];
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
};

test.each<[string, FakeGenerate | undefined, (generation: TestGeneration) => Promise<unknown>, string | undefined]>([
  ["is whole", undefined, async ({ start }) => readAll(await start()), undefined],
  [
    "was refused",
    async function* () {
      yield* [];
      throw typedError(Code.NotFound, "No.");
    },
    ({ start }) => start(),
    "not_found",
  ],
  ["never was admitted", async function* () {}, ({ start }) => start(), "overloaded"],
  [
    "failed on its way",
    async function* () {
      yield* [admitted, prefilled, said("x")];
      throw typedError(Code.Unavailable, "Died.");
    },
    async ({ start }) => readAll(await start()),
    "overloaded",
  ],
  [
    "was ended by its reader",
    untilAborted,
    async ({ start }) => {
      const generation = await start();
      generation.cancel();
      await readAll(generation);
    },
    "canceled",
  ],
  [
    "met its deadline",
    untilAborted,
    async ({ start, clock }) => {
      const ended = readAll(await start());
      await Promise.all([ended, clock.advance(TIMEOUT_MS + 1000)]);
    },
    "deadline_exceeded",
  ],
])("no listener and no timer stays behind a generation that %s", async (_, generate, run, code) => {
  const generation = prepareGeneration(generate);
  const error = await run(generation).then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error?.code).toBe(code);
  expect(generation.listeners.size).toBe(0);
  expect(generation.clock.pending).toBe(0);
});

test("while it runs, one listener waits for the client's hang-up", async () => {
  const { start, listeners, client, node } = prepareGeneration(untilAborted);
  const generation = await start();
  expect(listeners.size).toBe(1);
  client.abort();
  await expect(readAll(generation)).rejects.toMatchObject({ code: "canceled" });
  await expect.poll(() => node.aborted).toBe(1);
});
