// The machine's facts are there with and without a checkout.
import { tmpdir } from "node:os";
import { expect, it } from "vitest";
import { machineFacts } from "./machine.ts";

it("knows processor, memory and Node", async () => {
  const facts = await machineFacts(tmpdir());
  expect(facts.cores).toBeGreaterThan(0);
  expect(facts.memoryBytes).toBeGreaterThan(1e8);
  expect(facts.node).toBe(process.version);
  expect(facts.cpu).not.toBe("");
});

it("knows no commit outside a checkout, instead of failing", async () => {
  expect(await machineFacts("/")).toMatchObject({ commit: undefined, modified: undefined });
});
