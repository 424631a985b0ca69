// One generation over a stand-in node, with the clock, the client's signal and its listeners in the test's hand.
import { create } from "@bufbuild/protobuf";
import { GenerateRequestSchema } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import { AccessRecord } from "../access-log.ts";
import { Generation } from "../generate.ts";
import { createNodePool } from "../node-pool.ts";
import type { BodyWriter, StreamWriter } from "../wire/dialect.ts";
import { createFakeNode } from "./fake-node.ts";
import type { FakeGenerate, FakeNode } from "./fake-node-types.ts";
import { HeldClock } from "./held-clock.ts";

export interface TestGeneration {
  node: FakeNode;
  clock: HeldClock;
  client: AbortController;
  /** Who listens for the client's hang-up at the moment. */
  listeners: ReadonlySet<unknown>;
  /** What the writers of the answer are given. */
  answer: { clock: HeldClock; access: AccessRecord; clientSignal: AbortSignal };
  start(): Promise<Generation>;
}

export const TIMEOUT_MS = 600_000;

/** Prepares a generation; `generate` is what the node does, "Hello world" by default. */
export function prepareGeneration(generate?: FakeGenerate): TestGeneration {
  const node = createFakeNode();
  node.generate = generate ?? node.generate;
  const clock = new HeldClock();
  const client = new AbortController();
  const access = new AccessRecord(clock, {});
  const answer = { clock, access, clientSignal: client.signal };
  const { fetch } = node;
  const nodes = createNodePool({ url: "http://node.test", secret: "a secret for tests only", fetch, clock });
  const options = { ...answer, nodes, timeoutMs: TIMEOUT_MS, traceparent: undefined, paramOf: () => undefined };
  const start = () => Generation.start(create(GenerateRequestSchema, { model: "scripted" }), options);
  return { node, clock, client, answer, listeners: listenersOf(client.signal), start };
}

/** Follows who listens to a signal from now on. A listener that was called once for all stays in the set. */
function listenersOf(signal: AbortSignal): ReadonlySet<unknown> {
  const listeners = new Set<unknown>();
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>): void => {
    listeners.add(args[1]);
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>): void => {
    listeners.delete(args[1]);
    remove(...args);
  };
  return listeners;
}

/** Writes the name of each event from the first delta on, as the dialects do. */
export const streamWriter: StreamWriter = {
  event: ({ event }) => (event.case === "delta" || event.case === "finished" ? `data: ${event.case}\n\n` : ""),
  failure: ({ code }) => `data: failed, ${code}\n\n`,
};

/** Writes bodies that say no more than how it ended. */
export const bodyWriter: BodyWriter = {
  event: () => undefined,
  body: () => '"done"',
  failure: ({ code }) => JSON.stringify(code),
};
