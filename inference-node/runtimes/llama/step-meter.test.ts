// The node is told what each step decoded, once.
import { expect, test } from "vitest";
import { StepMeter } from "./step-meter.ts";

test("sums up the batches since the last message, and what the running sequences hold", () => {
  const meter = new StepMeter();
  meter.add(2, 64, 10);
  meter.add(1, 0, 5);
  const running = [{ position: 100 }, { position: 20 }];
  expect(meter.take(running)).toEqual({ decoding: 3, promptTokens: 64, ms: 15, kvTokens: 120 });
  expect(meter.take(running)).toBeUndefined();
});
