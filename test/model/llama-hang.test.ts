// The native runtime's child is stopped in mid-work, as a hung engine is: it is ended, said why, and replaced.
import { afterEach, beforeEach, expect, test } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime } from "../../inference-node/runtime.ts";
import { ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { generate, userPrompt } from "../support/generate.ts";
import { until } from "../support/wait.ts";

/** Many times what a step of this model takes on a machine that is busy with other things. */
const stepTimeoutMs = 5_000;

const question = userPrompt("What is the capital of France?");
const story = userPrompt("Tell me a long story about a dog.");
const lost = { status: "rejected", reason: { code: Code.UNAVAILABLE, retryAfterMs: expect.any(Number) } };

let runtime: Runtime;
let entries: LogEntry[];

beforeEach(async () => {
  entries = [];
  runtime = await defaultModelRuntime({ sequences: 4, entries, stepTimeoutMs });
  await runtime.start();
});

afterEach(() => runtime.close());

const pids = (): number[] => entries.filter(({ event }) => event === "runtime.started").map(({ pid }) => Number(pid));
const state = () => runtime.models()[0]?.state;

async function expectReplaced(verdict: RegExp): Promise<void> {
  const [hung] = pids();
  expect(entries).toContainEqual({
    level: "error",
    event: "runtime.hung",
    pid: hung,
    message: expect.stringMatching(verdict),
  });
  expect(state()).not.toBe(ModelState.READY);
  await until("another child to be ready", () => state() === ModelState.READY);
  expect(pids()).toHaveLength(2);
  expect(() => process.kill(hung ?? Number.NaN, 0)).toThrow();
  expect((await generate(runtime, question, 12, { sampling: { temperature: 0 } })).text).toContain("Paris");
}

test("streams of a child that stops in a step end retryably, and the next request is answered", async () => {
  const streams = [1, 2, 3].map(() => generate(runtime, story, 400, { stopping: { ignoreEos: true } }));
  const outcomes = Promise.allSettled(streams);
  // When a later and shorter one has ended, the others are in mid-stream.
  await generate(runtime, story, 2);
  process.kill(pids()[0] ?? Number.NaN, "SIGSTOP");
  for (const outcome of await outcomes) expect(outcome).toMatchObject(lost);
  await expectReplaced(/finished no step for 5000 ms/);
});

test("a request to a child that stopped while it was idle is refused retryably", async () => {
  process.kill(pids()[0] ?? Number.NaN, "SIGSTOP");
  const [outcome] = await Promise.allSettled([generate(runtime, question, 4)]);
  expect(outcome).toMatchObject(lost);
  await expectReplaced(/answered nothing for 5000 ms/);
});

test("a long prompt and a long answer are no hang", async () => {
  const long = userPrompt("A dog and a cat walk along the sea. ".repeat(60));
  const { finished } = await generate(runtime, long, 200, { stopping: { ignoreEos: true } });
  expect(finished.usage?.completionTokens).toBe(200);
  expect(entries.filter(({ event }) => event === "runtime.hung")).toEqual([]);
});
