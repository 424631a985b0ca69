// What a right command line means.
import { describe, expect, it } from "vitest";
import { type BenchOptions, readOptions, type Surroundings } from "./options.ts";

const bare: Surroundings = { environment: {}, cores: 4, now: 1_000, running: undefined };

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
    expect(options.soak).toBeUndefined();
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
    const running = { url: "http://127.0.0.1:8787", key: "sk-here" };
    expect(read("", { running }).target).toMatchObject({ baseUrl: "http://127.0.0.1:8787/v1", key: "sk-here" });
    expect(read("--key other", { running }).target).toMatchObject({ key: "other" });
  });

  it("never sends the key of the server that runs here to another", () => {
    const running = { url: "http://127.0.0.1:8787", key: "sk-here" };
    expect(read("--target http://elsewhere --against http://third", { running })).toMatchObject({
      target: { key: undefined },
      against: { key: undefined },
    });
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
    const { soak } = read("--target http://a --requests 3000 --rss 12,34 --rss-tree 56 --rss-growth-max 2.5");
    expect(soak).toEqual({ requests: 3000, pids: [12, 34], treePids: [56], growthMaxPercent: 2.5 });
  });

  it("gives help before it looks at anything else", () => {
    expect(readOptions(["--help"], bare)).toBe("help");
  });
});
