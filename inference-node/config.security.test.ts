// Secrets reach neither messages nor the native child.
import { expect, it } from "vitest";
import { readConfig } from "./config.ts";

it("gives the child nothing but what an engine reads", () => {
  const env = {
    SLUICE_NODE_SECRET: "0123456789abcdef",
    HF_TOKEN: "hf_secret",
    PATH: "/bin",
    CUDA_VISIBLE_DEVICES: "0",
    AWS_SECRET: "x",
  };
  expect(readConfig(env).childEnv).toEqual({
    PATH: "/bin",
    CUDA_VISIBLE_DEVICES: "0",
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    CUDA_CACHE_MAXSIZE: "4294967296",
  });
});

it("keeps a secret that is too short out of the message", () => {
  expect(() => readConfig({ SLUICE_NODE_SECRET: "hunter2" })).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining("hunter2") }),
  );
});
