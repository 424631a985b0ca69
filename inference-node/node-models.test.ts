// Work that was admitted waits for a restarted engine, but not for ever.
import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type Model, ModelSchema, ModelState } from "../proto/gen/sluice/inference/v1/model_pb.js";
import { Code } from "./node-error.ts";
import { NodeModels } from "./node-models.ts";
import type { Runtime } from "./runtime.ts";
import { manualClock } from "./testing/manual-clock.ts";

function follow(): {
  models: NodeModels;
  model: Model;
  set: (state: ModelState) => void;
  changes: string[];
  clock: ReturnType<typeof manualClock>;
} {
  const model = create(ModelSchema, { id: "m", state: ModelState.LOADING, sequences: 1 });
  const clock = manualClock();
  const changes: string[] = [];
  let listener = (): void => undefined;
  const runtime: Pick<Runtime, "models" | "onStateChange"> = {
    models: () => [model],
    onStateChange: (added) => {
      listener = added;
      return () => undefined;
    },
  };
  const models = new NodeModels({
    runtime: runtime as Runtime,
    clock,
    queueDepthMax: 10,
    queueTokensMax: 10,
    batchSlotsPercent: 100,
    restartHoldMs: 5_000,
    onRestart: (id) => changes.push(`restart ${id}`),
    onServingChange: (serving, reason) => changes.push(serving ? "serving" : reason),
  });
  const set = (state: ModelState): void => {
    model.state = state;
    listener();
  };
  return { models, model, set, changes, clock };
}

const request = {
  tokens: 1,
  signal: new AbortController().signal,
  deadlineAt: undefined,
} as const;

it("tells each change of serving once, and restarts apart from the first start", () => {
  const { set, changes, models } = follow();
  set(ModelState.READY);
  set(ModelState.READY);
  set(ModelState.UNAVAILABLE);
  set(ModelState.READY);
  models.drain();
  set(ModelState.UNAVAILABLE);
  expect(changes).toEqual(["serving", "no model is ready", "restart m", "serving", "draining"]);
});

it("fails those that wait when the engine has not come back after 15 seconds", async () => {
  const { models, model, set, clock } = follow();
  set(ModelState.READY);
  const admission = models.admission(model);
  admission.reserve().admit(request);
  const waiting = admission.reserve().admit(request);
  set(ModelState.UNAVAILABLE);
  await clock.advance(14_999);
  expect(admission.waiting).toBe(1);
  await clock.advance(1);
  await expect(waiting.granted).rejects.toMatchObject({ code: Code.UNAVAILABLE, retryAfterMs: 1_000 });
});

it("forgets the fifteen seconds when the engine came back in time", async () => {
  const { models, model, set, clock } = follow();
  set(ModelState.READY);
  const admission = models.admission(model);
  const running = admission.reserve().admit(request);
  const waiting = admission.reserve().admit(request);
  set(ModelState.UNAVAILABLE);
  running.release();
  expect([admission.running, admission.waiting]).toEqual([0, 1]);
  await clock.advance(10_000);
  set(ModelState.READY);
  await expect(waiting.granted).resolves.toBeUndefined();
  await clock.advance(60_000);
  expect(admission.running).toBe(1);
});

it("holds new requests of a model that restarts, until it is back or the hold is over", async () => {
  const { models, model, set, clock } = follow();
  const { signal } = new AbortController();
  await models.restarted(model, signal); // Never ready before: nothing to wait for.
  set(ModelState.READY);
  await models.restarted(model, signal);
  set(ModelState.UNAVAILABLE);
  const back = models.restarted(model, signal);
  set(ModelState.LOADING);
  await clock.advance(4_999);
  set(ModelState.READY);
  await back;
  set(ModelState.UNAVAILABLE);
  const late = models.restarted(model, signal);
  await clock.advance(5_000);
  await late;
  expect(() => models.admission(model)).toThrow(expect.objectContaining({ code: Code.UNAVAILABLE }));
});

it("lets a held request go when its caller hangs up or the node drains", async () => {
  const { models, model, set } = follow();
  set(ModelState.READY);
  set(ModelState.UNAVAILABLE);
  const controller = new AbortController();
  const held = models.restarted(model, controller.signal);
  controller.abort();
  await held;
  const drained = models.restarted(model, new AbortController().signal);
  models.drain();
  await drained;
});
