// Whole runs against tiny servers, to their exit codes and JSON files.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeBehaviour, sendJson, startFakeServer } from "./fake-server.ts";
import { machineFacts } from "./machine.ts";
import { readOptions } from "./options.ts";
import { run } from "./run.ts";
import { BenchError } from "./target.ts";
import { runBenchOf } from "./testing/run-bench.ts";

let directory: string;
let output: string[];
const closers: (() => Promise<void>)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "bench-run-"));
  output = [];
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await rm(directory, { recursive: true });
});

async function serve(behaviour: FakeBehaviour): Promise<string> {
  const server = await startFakeServer(behaviour);
  closers.push(() => server.close());
  return server.origin;
}

function runBench(args: string[]): Promise<number> {
  return runBenchOf(args, join(directory, "deep", "out.json"), (line) => void output.push(line));
}

interface Document {
  readonly targets: readonly { label: string }[];
  readonly workload: { readonly seed: number };
  readonly machine: { readonly node: string; readonly commit?: string };
  readonly levels: readonly {
    streams: number;
    ratio?: { median: number };
    targets: readonly { rounds: readonly object[]; requests: number; promptTokensMean: number; errors: object }[];
  }[];
  readonly soak: { growth: readonly { pid: number; growthPercent: number }[] } | null;
  readonly interrupted: boolean;
}

async function results(): Promise<Document> {
  return JSON.parse(await readFile(join(directory, "deep", "out.json"), "utf8"));
}

describe("a comparison of two servers", () => {
  it("finds the ratio of their speeds at each number of streams and writes it down", async () => {
    const slow = await serve({ tokenMs: 40, templateTokens: 20 });
    const fast = await serve({ tokenMs: 20, templateTokens: 20 });
    const workload = ["--streams", "1,3", "--rounds", "3", "--max-tokens", "8", "--prompt-tokens", "100"];
    expect(await runBench(["--target", slow, "--against", fast, ...workload])).toBe(0);
    const { levels, targets, machine, workload: recorded } = await results();
    expect(targets.map(({ label }) => label)).toEqual([`${slow}/v1`, `${fast}/v1`]);
    expect(levels.map(({ streams }) => streams)).toEqual([1, 3]);
    for (const { ratio } of levels) {
      expect(ratio?.median).toBeGreaterThan(0.35);
      expect(ratio?.median).toBeLessThan(0.75);
    }
    expect(levels[1]?.targets.map(({ rounds, requests }) => [rounds.length, requests])).toEqual([
      [3, 9],
      [3, 9],
    ]);
    // The fit reached the wanted length, template included.
    expect(levels[0]?.targets[0]?.promptTokensMean).toBe(100);
    expect(machine.node).toBe(process.version);
    expect(recorded.seed).toBe(1);
    expect(output.join("\n")).toMatch(/A\/B/);
  });

  it("runs them in turns, A B then B A, and never both at once", async () => {
    const order: string[] = [];
    const note = (name: string) => () => {
      order.push(name);
      return false;
    };
    const first = await serve({ intercept: note("A"), tokenMs: 1 });
    const second = await serve({ intercept: note("B"), tokenMs: 1 });
    const workload = ["--streams", "2", "--rounds", "4", "--warmup", "0", "--max-tokens", "2"];
    await runBench(["--target", first, "--against", second, ...workload]);
    // The first two requests fit the prompt.
    expect(order.slice(2).join("")).toBe("AABBBBAAAABBBBAA");
  });

  it("fails when the median ratio is below the bound, and only then", async () => {
    const slow = await serve({ tokenMs: 20 });
    const fast = await serve({ tokenMs: 5 });
    const workload = ["--streams", "1", "--rounds", "2", "--warmup", "0", "--max-tokens", "4"];
    expect(await runBench(["--target", slow, "--against", fast, ...workload, "--ratio-min", "0.9"])).toBe(1);
    expect(output.at(-1)).toMatch(/^FAILED: at 1 the ratio is 0\.\d+, below 0\.9$/);
    expect(await runBench(["--target", fast, "--against", slow, ...workload, "--ratio-min", "0.9"])).toBe(0);
  });
});

it("a single failed request makes the run fail and is told with its reason", async () => {
  const flaky = await serve({
    intercept: (response, ordinal) => {
      if (ordinal !== 4) return false;
      sendJson(response, 500, { error: { message: "Out of luck." } });
      return true;
    },
  });
  expect(await runBench(["--target", flaky, "--streams", "2", "--rounds", "2", "--warmup", "0"])).toBe(1);
  expect(output.join("\n")).toContain("A at 2: 1 x HTTP 500: Out of luck.");
  expect(output.at(-1)).toBe("FAILED: 1 request failed");
  expect((await results()).levels[0]?.targets[0]?.errors).toEqual({ "HTTP 500: Out of luck.": 1 });
});

it("a server that fails every request of a round ends the run with its reason", async () => {
  const dead = await serve({
    intercept: (response, ordinal) => {
      if (ordinal > 1) sendJson(response, 503, { error: { message: "Gone." } });
      return ordinal > 1;
    },
  });
  await expect(runBench(["--target", dead, "--streams", "2"])).rejects.toThrow("HTTP 503: Gone.");
});

it("an interrupted run keeps the levels that were complete and ends with 130", async () => {
  const server = await serve({ tokenMs: 1 });
  const controller = new AbortController();
  const workload = ["--streams", "1,2", "--rounds", "1", "--warmup", "0", "--max-tokens", "2", "--pause", "150"];
  const options = readOptions(["--target", server, ...workload], {
    environment: {},
    cores: 2,
    now: 1,
    running: undefined,
  });
  if (options === "help") throw new Error("asked for help");
  const print = (line: string): void => {
    output.push(line);
    if (line.startsWith("1 ")) controller.abort(new BenchError("interrupted"));
  };
  const surroundings = {
    machine: await machineFacts("."),
    startedAt: "now",
    outPath: join(directory, "deep", "out.json"),
    print,
    progressOutput: { write: () => true },
  };
  expect(await run(options, surroundings, controller.signal)).toBe(130);
  const { levels, interrupted } = await results();
  expect(levels).toHaveLength(1);
  expect(interrupted).toBe(true);
});

describe("a soak", () => {
  it("reports the growth of each watched process", async () => {
    const server = await serve({});
    const args = ["--target", server, "--requests", "60", "--streams", "3", "--max-tokens", "2"];
    // This process holds server and client: it may grow as it likes here.
    const code = await runBench([...args, "--rss", String(process.pid), "--rss-growth-max", "1000"]);
    expect(code).toBe(0);
    const { soak, levels } = await results();
    expect(levels).toEqual([]);
    expect(soak?.growth.map(({ pid }) => pid)).toEqual([process.pid]);
    expect(Number.isFinite(soak?.growth[0]?.growthPercent)).toBe(true);
    expect(output.join("\n")).toContain("memory from request 21 to the last:");
  });

  it("refuses to watch processes that are not there", async () => {
    const server = await serve({});
    const args = ["--target", server, "--requests", "60", "--rss", "4194304"];
    await expect(runBench(args)).rejects.toThrow("no process has one of the ids 4194304");
  });
});

it("no key is written to the results", async () => {
  const server = await serve({ key: "sk-very-secret" });
  const workload = ["--streams", "1", "--rounds", "1", "--warmup", "0", "--max-tokens", "2"];
  expect(await runBench(["--target", server, "--key", "sk-very-secret", ...workload])).toBe(0);
  expect(JSON.stringify(await results())).not.toContain("sk-very-secret");
  expect(output.join("\n")).not.toContain("sk-very-secret");
});
