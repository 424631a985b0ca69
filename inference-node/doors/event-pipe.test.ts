// Pushed events come out in order; a slow reader holds the producer, and a reader that leaves frees it.
import { expect, it } from "vitest";
import type { GenerateEvent } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { pipeEvents } from "./event-pipe.ts";

function event(sequence: number): GenerateEvent {
  return { $typeName: "sluice.inference.v1.GenerateEvent", sequence: BigInt(sequence), event: { case: undefined } };
}

const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function read(events: AsyncIterable<GenerateEvent>): Promise<number[]> {
  const seen: number[] = [];
  for await (const { sequence } of events) seen.push(Number(sequence));
  return seen;
}

it("gives all events in order", async () => {
  const numbers = Array.from({ length: 100 }, (_, index) => index);
  const piped = pipeEvents(async (write) => {
    for (const number of numbers) await write(event(number));
  }, never);
  expect(await read(piped)).toEqual(numbers);
});

it("gives what was written before the producer failed, then its failure", async () => {
  const piped = pipeEvents(async (write) => {
    write(event(1));
    throw new Error("broken");
  }, never);
  expect((await piped.next()).value?.sequence).toBe(1n);
  await expect(piped.next()).rejects.toThrow("broken");
});

it("holds the producer when the reader does not read", async () => {
  let written = 0;
  const piped = pipeEvents(async (write) => {
    for (let number = 0; number < 100; number += 1) {
      const wait = write(event(number));
      written += 1;
      if (wait) await wait;
    }
  }, never);
  await piped.next();
  await turn();
  expect(written).toBeLessThan(20);
  expect(await read(piped)).toHaveLength(99);
});

it("frees a producer that waits when the call is aborted or the reader leaves", async () => {
  for (const leave of ["abort", "return"]) {
    const controller = new AbortController();
    let freed = false;
    const piped = pipeEvents(async (write) => {
      try {
        while (true) await write(event(1));
      } finally {
        freed = true;
      }
    }, controller.signal);
    await piped.next();
    await turn();
    expect(freed).toBe(false);
    if (leave === "abort") controller.abort();
    else await piped.return();
    await turn();
    expect(freed).toBe(true);
  }
});

it("never holds a producer that writes after the reader left", async () => {
  let ended: unknown;
  const reader = new AbortController();
  const piped = pipeEvents(async (write) => {
    write(event(0));
    await turn();
    await turn();
    try {
      for (let number = 1; number < 100; number += 1) await write(event(number));
    } catch (thrown) {
      ended = thrown;
    }
  }, reader.signal);
  await piped.next();
  reader.abort();
  await piped.return();
  for (let turns = 0; turns < 5; turns += 1) await turn();
  expect(ended).toMatchObject({ message: "The caller went away." });
});
