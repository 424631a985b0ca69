// A request that runs at two deaths of the native child is refused, and the one that ran beside it at the first is served.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { LogEntry } from "../../inference-node/log.ts";
import { Code } from "../../inference-node/node-error.ts";
import type { Runtime, RuntimeEvent, RuntimeRequest } from "../../inference-node/runtime.ts";
import { GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { ModelState } from "../../proto/gen/sluice/inference/v1/model_pb.js";
import { PromptSchema } from "../../proto/gen/sluice/inference/v1/prompt_pb.js";
import { defaultModelRuntime } from "../support/default-model.ts";
import { generate, type PromptInit, userPrompt } from "../support/generate.ts";
import { until } from "../support/wait.ts";

const killer = userPrompt("Tell me a long story about a dog that ends badly.");
const bystander = userPrompt("Tell me a long story about a cat that ends well.");
const lost = { code: Code.UNAVAILABLE };
const never = new AbortController().signal;

let runtime: Runtime;
let entries: LogEntry[];
let crashDir: string;
let ids = 0;

beforeEach(async () => {
  entries = [];
  crashDir = mkdtempSync(join(tmpdir(), "sluice-crashes-"));
  runtime = await defaultModelRuntime({ sequences: 4, entries, crashDir });
  await runtime.start();
});

afterEach(async () => {
  await runtime.close();
  rmSync(crashDir, { recursive: true });
});

/** A request for an answer of 60 tokens, with an id that no other has. */
async function requestFor(prompt: PromptInit): Promise<RuntimeRequest> {
  const model = runtime.models()[0]?.id ?? "";
  const stopping = { ignoreEos: true };
  const request = create(GenerateRequestSchema, { requestId: `try-${++ids}`, model, prompt, stopping });
  const prepared = await runtime.prepare(model, create(PromptSchema, prompt), never);
  return { request, prepared, maxTokens: 60 };
}

interface Run {
  /** Resolves with the first token; rejects as the run does. */
  readonly speaks: Promise<void>;
  readonly over: Promise<readonly RuntimeEvent[]>;
  readonly deltas: () => number;
}

function run(request: RuntimeRequest): Run {
  const events: RuntimeEvent[] = [];
  const speaks = Promise.withResolvers<void>();
  const read = async (): Promise<readonly RuntimeEvent[]> => {
    for await (const event of runtime.generate(request, never)) {
      events.push(event);
      if (event.case === "delta") speaks.resolve();
    }
    return events;
  };
  const over = read();
  over.catch(speaks.reject);
  speaks.promise.catch(() => undefined);
  return { speaks: speaks.promise, over, deltas: () => events.filter((event) => event.case === "delta").length };
}

function killChild(): void {
  const pid = entries.findLast(({ event }) => event === "runtime.started")?.pid;
  process.kill(Number(pid), "SIGKILL");
}

const ready = (): Promise<unknown> =>
  until("the child to be ready", () => runtime.models()[0]?.state === ModelState.READY);
const reports = (): Record<string, unknown>[] =>
  readdirSync(crashDir)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(crashDir, name), "utf8")));

test("the second death refuses the one that ran then; its neighbour of the first death waits, and is answered", async () => {
  const first = [run(await requestFor(killer)), run(await requestFor(bystander))];
  await Promise.all(first.map(({ speaks }) => speaks));
  killChild();
  for (const { over } of first) await expect(over).rejects.toMatchObject(lost);
  await ready();

  const again = run(await requestFor(killer));
  const beside = run(await requestFor(bystander));
  await again.speaks;
  expect(beside.deltas()).toBe(0);
  killChild();
  await expect(again.over).rejects.toMatchObject(lost);
  expect((await beside.over).at(-1)?.case).toBe("finished");

  const refusal = {
    code: Code.INVALID_ARGUMENT,
    reason: "QUARANTINED",
    message: expect.stringMatching(/crashed twice/),
  };
  const third = await requestFor(killer);
  expect(() => runtime.check?.(third)).toThrow(expect.objectContaining(refusal));
  await expect(run(third).over).rejects.toMatchObject(refusal);
  const served = await requestFor(bystander);
  runtime.check?.(served);
  expect((await run(served).over).at(-1)?.case).toBe("finished");

  await until("both reports to be written", () => reports().length === 2);
  expect(reports()).toMatchObject([
    { signal: "SIGKILL", running: [{ request_id: "try-1" }, { request_id: "try-2" }], resident_mb: expect.any(Number) },
    { signal: "SIGKILL", running: [{ request_id: "try-3", completion_tokens: expect.any(Number) }] },
  ]);
  expect(JSON.stringify(reports())).not.toContain("story");
  const died = entries.filter(({ event }) => event === "runtime.died");
  expect(died.map(({ report }) => String(report).startsWith(crashDir))).toEqual([true, true]);
});

test("a child above the operator's ceiling is replaced between streams, and no stream sees it", async () => {
  await runtime.close();
  const loadedMb = Number(entries.find(({ event }) => event === "runtime.loaded")?.resident_mb);
  entries = [];
  // Scores of a prompt's tokens take twice this; children differ by half of it once loaded.
  runtime = await defaultModelRuntime({ sequences: 4, entries, childMemoryMaxMb: loadedMb + 20 });
  await runtime.start();
  const scored = { logprobs: { prompt: true, output: true, top: 20 } };
  await until("the child to be replaced", async () => {
    const { finished } = await generate(
      runtime,
      userPrompt(`${++ids} ${"A dog and a cat walk. ".repeat(10)}`),
      20,
      scored,
    );
    expect(finished.usage?.completionTokens).toBeGreaterThan(0);
    return entries.some(({ event }) => event === "runtime.replaced");
  });
  await ready();
  expect((await run(await requestFor(bystander)).over).at(-1)?.case).toBe("finished");
  expect(entries.filter(({ event }) => event === "runtime.died")).toEqual([]);
});
