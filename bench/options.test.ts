// What a right command line means.
import { describe, expect, it } from "vitest";
import { type BenchOptions, readOptions } from "./options.ts";
import type { Surroundings } from "./target-spec.ts";

const bare: Surroundings = { environment: {}, cores: 4, now: 1_000, running: undefined };
const running = {
  url: "http://127.0.0.1:8787",
  key: "sk-here",
  node: "127.0.0.1:50051",
  nodeWeb: "http://127.0.0.1:50052",
  nodeSecret: "node-secret",
  nodePid: 77,
};

function read(line: string, surroundings: Partial<Surroundings> = {}): BenchOptions {
  const options = readOptions(line.split(" ").filter(Boolean), { ...bare, ...surroundings });
  if (options === "help") throw new Error("asked for help");
  return options;
}

describe("readOptions", () => {
  it("reads the documented command", () => {
    const options = read("--target http://a:1 --key K --against https://b/v1/ --key2 K2 --streams 1,4,8,16");
    expect(options.target).toMatchObject({ kind: "server", baseUrl: "http://a:1/v1", key: "K" });
    expect(options.against).toMatchObject({ kind: "server", baseUrl: "https://b/v1", key: "K2" });
    expect(options.streams).toEqual([1, 4, 8, 16]);
    expect(options.maxTokens).toBe(64);
    expect(options.promptTokens).toBe(128);
    expect(options.scenario).toBe("levels");
  });

  it.each([
    ["127.0.0.1:8787", "http://127.0.0.1:8787/v1"],
    ["http://h:1/", "http://h:1/v1"],
    ["http://h/v1", "http://h/v1"],
    ["https://h/api/openai/", "https://h/api/openai"],
  ])("takes %s as the base URL %s", (given, baseUrl) => {
    expect(read(`--target ${given}`).target).toMatchObject({ baseUrl });
  });

  it("measures the server that runs here when no target is named", () => {
    expect(read("", { running }).target).toMatchObject({ baseUrl: "http://127.0.0.1:8787/v1", key: "sk-here" });
    expect(read("--key other", { running }).target).toMatchObject({ key: "other" });
  });

  it("never sends the key of the server that runs here to another", () => {
    expect(read("--target http://elsewhere --against http://third", { running })).toMatchObject({
      target: { key: undefined },
      against: { key: undefined },
      metrics: undefined,
    });
    expect(read("--target grpc://elsewhere:1", { running }).target).toMatchObject({ key: undefined });
  });

  it("takes keys from the environment, where no process list shows them", () => {
    const environment = { SLUICE_BENCH_KEY: "k1", SLUICE_BENCH_KEY2: "k2" };
    const options = read("--target http://a --against http://b", { environment });
    expect(options).toMatchObject({ target: { key: "k1" }, against: { key: "k2" } });
  });

  it("knows the loop, with the default model or another", () => {
    expect(read("--target http://a --against loop").against).toEqual({ kind: "loop", model: undefined });
    expect(read("--target loop:/m/x.gguf").target).toEqual({ kind: "loop", model: "/m/x.gguf" });
  });

  it("gives the loop the node's threads: one core less than there are, at least one", () => {
    expect(read("--target loop", { cores: 4 }).loop.threads).toBe(3);
    expect(read("--target loop", { cores: 1 }).loop.threads).toBe(1);
    expect(read("--target loop --loop-threads 7").loop.threads).toBe(7);
  });

  it("seeds the prompts by the time, unless told to make an earlier run's again", () => {
    expect(read("--target loop", { now: 123 }).seed).toBe(123);
    expect(read("--target loop --seed 9").seed).toBe(9);
  });

  it("reads a soak with its processes", () => {
    const options = read("--target http://a --requests 3000 --rss 12,34 --rss-tree 56 --rss-growth-max 2.5");
    expect(options.scenario).toBe("soak");
    expect(options.soak).toEqual({ requests: 3000, growthMaxPercent: 2.5 });
    expect(options.watched).toEqual({ pids: [12, 34], treePids: [56] });
  });

  it("reads chats of several turns, one at a time unless told otherwise", () => {
    expect(read("--target http://a --against http://b --turns 2 --ratio-max 0.05")).toMatchObject({
      scenario: "turns",
      turns: 2,
      streams: [1],
      ratioMax: 0.05,
    });
    expect(read("--target http://a --turns 1").scenario).toBe("levels");
  });

  it("lets a stream beside a long prompt go on for longer than others", () => {
    expect(read("--target http://a --scenario stall")).toMatchObject({
      scenario: "stall",
      maxTokens: 2048,
      stall: { quietTokens: 128, longPromptTokens: 4000 },
    });
  });

  it("holds a thousand slow streams, and asks the metrics that it is told of", () => {
    const options = read("--target http://a --scenario slow-readers --metrics http://n:1/metrics --metrics-key s");
    expect(options).toMatchObject({
      scenario: "slow-readers",
      streams: [1000],
      metrics: { url: "http://n:1/metrics", key: "s" },
      watched: { pids: [], treePids: [] },
    });
  });

  it("watches the node that runs here when its slow streams are measured, through either door", () => {
    for (const line of ["--scenario slow-readers", "--target node --scenario slow-readers"]) {
      expect(read(line, { running })).toMatchObject({
        metrics: { url: "http://127.0.0.1:50052/metrics", key: "node-secret" },
        watched: { pids: [], treePids: [77] },
      });
    }
    expect(read("--target http://elsewhere --scenario slow-readers", { running })).toMatchObject({
      metrics: undefined,
      watched: { pids: [], treePids: [] },
    });
  });

  it("needs no server to measure the scheduler", () => {
    expect(read("--scenario step-cost")).toMatchObject({ target: undefined, streams: [1, 4, 8, 16, 64] });
  });

  it("knows a node's native door", () => {
    expect(read("--target grpc://h:50051 --key s").target).toMatchObject({
      kind: "node",
      baseUrl: "http://h:50051",
      key: "s",
    });
    expect(read("--target node", { running }).target).toMatchObject({
      kind: "node",
      baseUrl: "http://127.0.0.1:50051",
      key: "node-secret",
    });
  });

  it("gives help before it looks at anything else", () => {
    expect(readOptions(["--help"], bare)).toBe("help");
  });
});
