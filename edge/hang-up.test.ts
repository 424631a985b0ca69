// Answers whose client hangs up or stops reading: all is over at once, and nothing piles up.
import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { respondStream } from "./sse.ts";
import { admitted, finished, prefilled, said } from "./testing/fake-node.ts";
import type { EventInit, FakeGenerate } from "./testing/fake-node-types.ts";
import { bodyWriter, prepareGeneration, streamWriter, type TestGeneration } from "./testing/generation.ts";
import { settled } from "./testing/held-clock.ts";
import { respondUnary } from "./unary.ts";

const PING = ": ping\n\n";

/** The answers whose head is out before they are whole. */
const ANSWERS: [string, (generation: TestGeneration) => Promise<Response>][] = [
  ["a stream", async ({ start, answer }) => respondStream(await start(), streamWriter, answer)],
  [
    "a unary answer that takes long",
    async ({ start, answer, clock }) => {
      const pending = respondUnary(await start(), bodyWriter, answer);
      await vi.waitFor(() => expect(clock.pending).toBe(2));
      await clock.advance(1000);
      return pending;
    },
  ],
];

let console: MockInstance<typeof globalThis.console.log>;

beforeEach(() => {
  console = vi.spyOn(globalThis.console, "log");
});

afterEach(() => console.mockRestore());

const loggedLines = (): { status: number; error?: string }[] => console.mock.calls.map(([line]) => JSON.parse(line));

/** A node that stands still after the prompt, and what it says at first, until `go`; then it answers. */
function held(first: EventInit[] = []): { go: () => void; generate: FakeGenerate } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const generate: FakeGenerate = async function* () {
    yield* [admitted, prefilled, ...first];
    await promise;
    yield* [said("x"), finished()];
  };
  return { go: resolve, generate };
}

describe.each(ANSWERS)("the hang-up on %s", (_, respond) => {
  test("ends all within the signal's own call: workerd may run nothing after it", async () => {
    const generation = prepareGeneration(held().generate);
    const response = await respond(generation);
    expect(response.status).toBe(200);
    generation.client.abort();
    // No await before this.
    expect(loggedLines()).toMatchObject([{ status: 499, error: "canceled" }]);
    expect(generation.clock.pending).toBe(0);
    await vi.waitFor(() => expect(generation.node.aborted).toBe(1));
    expect(loggedLines()).toHaveLength(1);
  });

  test("is no longer listened for when the answer is whole", async () => {
    const { go, generate } = held();
    const generation = prepareGeneration(generate);
    const response = await respond(generation);
    expect(generation.listeners.size).toBe(2);
    go();
    await response.text();
    expect(generation.listeners.size).toBe(0);
    generation.client.abort();
    expect(loggedLines()).toMatchObject([{ status: 200 }]);
  });
});

/** Takes what was written, write by write, and nothing ahead of time, as a decoder in between would. */
function takeFrom(response: Response): () => Promise<string> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  return async () => new TextDecoder().decode((await reader.read()).value);
}

async function restOf(take: () => Promise<string>): Promise<string> {
  let text = "";
  for (let piece = await take(); piece !== ""; piece = await take()) text += piece;
  return text;
}

describe("the reader of a stream that takes nothing", () => {
  test("gets one ping for all the time, and the next once it has taken that", async () => {
    const { go, generate } = held();
    const generation = prepareGeneration(generate);
    const { clock } = generation;
    const take = takeFrom(respondStream(await generation.start(), streamWriter, generation.answer));
    await clock.advance(2_000);
    expect(await take()).toBe(PING);
    await settled();
    await clock.advance(2_000);
    go();
    expect(await restOf(take)).toBe(`${PING}data: delta\n\ndata: finished\n\n`);
  });

  test("gets no ping behind an event that it has not taken", async () => {
    const { go, generate } = held([said("first")]);
    const generation = prepareGeneration(generate);
    const { clock } = generation;
    const take = takeFrom(respondStream(await generation.start(), streamWriter, generation.answer));
    await vi.waitFor(() => expect(generation.answer.access.facts.completionTokens).toBe(1));
    await clock.advance(60_000);
    go();
    expect(await restOf(take)).toBe("data: delta\n\ndata: delta\n\ndata: finished\n\n");
  });
});
