// Whole runs of each scenario against tiny servers, to their exit codes and JSON files.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestNode, testSecret } from "../inference-node/testing/test-node.ts";
import { type ChatRequest, type FakeBehaviour, type FakeServer, startFakeServer } from "./fake-server.ts";
import { runBenchOf } from "./testing/run-bench.ts";

let directory: string;
let output: string[];
const closers: (() => Promise<void>)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "bench-scenarios-"));
  output = [];
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await rm(directory, { recursive: true });
});

async function serve(behaviour: FakeBehaviour = {}): Promise<FakeServer> {
  const server = await startFakeServer(behaviour);
  closers.push(() => server.close());
  return server;
}

function runBench(...args: string[]): Promise<number> {
  return runBenchOf(args, join(directory, "out.json"), (line) => void output.push(line));
}

interface Spread {
  readonly median: number;
}

interface Document {
  readonly workload: { readonly scenario: string };
  readonly levels: readonly { readonly firstTokensRatio?: Spread }[];
  readonly turns: readonly {
    readonly streams: number;
    readonly targets: readonly (readonly { readonly ofFirst: Spread; readonly cachedTokensMean: number }[])[];
  }[];
  readonly stall: { readonly targets: readonly { readonly p99Ratio: Spread; readonly rounds: number }[] } | null;
  readonly slowReaders: { readonly began: number; readonly lagP99Ms: Spread; readonly processes: object[] } | null;
  readonly stepCost: readonly { readonly sequences: number; readonly boundMs: number }[];
}

async function results(): Promise<Document> {
  return JSON.parse(await readFile(join(directory, "out.json"), "utf8"));
}

/** The first words of what a request asks. */
function beginning({ messages }: ChatRequest, words = 10): string {
  return messages[0]?.content.split(/\s/).slice(0, words).join(" ") ?? "";
}

describe("a shared prefix", () => {
  const workload = ["--prompt-tokens", "60", "--shared-prefix", "20", "--streams", "4", "--max-tokens", "2"];

  it("is new in each round, warm-up included, and other for each server", async () => {
    const [first, second] = [await serve(), await serve()];
    const rounds = ["--rounds", "2", "--warmup", "1"];
    expect(await runBench("--target", first.origin, "--against", second.origin, ...workload, ...rounds)).toBe(0);
    const prefixes = [first, second].flatMap(({ requests }) => {
      // The first request fitted the prompt.
      const asked = requests.slice(1).map((request) => beginning(request, 20));
      expect(asked).toHaveLength(12);
      const rounds = [0, 4, 8].map((from) => new Set(asked.slice(from, from + 4)));
      expect(rounds.map(({ size }) => size)).toEqual([1, 1, 1]);
      return asked;
    });
    expect(new Set(prefixes).size).toBe(6);
  });

  it("is judged by the time until all streams had their first token", async () => {
    const quick = await serve({ prefillMs: () => 10 });
    const slow = await serve({ prefillMs: () => 200 });
    const rounds = ["--rounds", "1", "--warmup", "0", "--ratio-max", "0.6"];
    expect(await runBench("--target", quick.origin, "--against", slow.origin, ...workload, ...rounds)).toBe(0);
    expect((await results()).levels[0]?.firstTokensRatio?.median).toBeLessThan(0.6);
    expect(output.join("\n")).toContain("until all had their first token, ms: A ");
    expect(await runBench("--target", slow.origin, "--against", quick.origin, ...workload, ...rounds)).toBe(1);
    expect(output.at(-1)).toMatch(/^FAILED: at 4 A\/B of the time until all had their first token is .*, above 0\.6$/);
  });
});

describe("chats of two turns", () => {
  it("begin with prompts that nobody has seen, and are reported by turn", async () => {
    const server = await serve({
      prefillMs: ({ messages }) => (messages.length === 1 ? 150 : 5),
      cachedTokens: ({ messages }) => (messages.length === 1 ? 0 : 9),
    });
    const workload = ["--turns", "2", "--streams", "1,3", "--rounds", "2", "--warmup", "1", "--max-tokens", "2"];
    expect(await runBench("--target", server.origin, ...workload, "--ratio-max", "0.7")).toBe(0);
    const { turns, levels } = await results();
    expect(levels).toEqual([]);
    expect(turns.map(({ streams }) => streams)).toEqual([1, 3]);
    expect(turns[1]?.targets[0]?.map(({ cachedTokensMean }) => cachedTokensMean)).toEqual([0, 9]);
    const firsts = server.requests.slice(1).filter(({ messages }) => messages.length === 1);
    expect(firsts).toHaveLength(3 * (1 + 3));
    expect(new Set(firsts.map((request) => beginning(request))).size).toBe(12);
    const questions = server.requests
      .filter(({ messages }) => messages.length === 3)
      .map(({ messages }) => messages[2]);
    expect(new Set(questions.map((message) => message?.content)).size).toBe(12);
  });
});

describe("a long prompt beside a stream", () => {
  const workload = ["--scenario", "stall", "--rounds", "1", "--warmup", "0", "--quiet-tokens", "8"];

  it("has the length that was asked for, and its effect is reported and held to its bound", async () => {
    const server = await serve({
      tokenMs: 10,
      stallFactor: 10,
      prefillMs: ({ messages }) => ((messages[0]?.content.length ?? 0) > 2000 ? 500 : 0),
    });
    const args = ["--target", server.origin, ...workload, "--prompt-tokens", "50", "--long-prompt-tokens", "1000"];
    expect(await runBench(...args, "--ratio-max", "1.01")).toBe(1);
    expect(output.at(-1)).toMatch(/^FAILED: p99 ITL while a long prompt comes in is /);
    expect(output.join("\n")).toContain("note: A: the long prompt had 1000 tokens");
    const { stall } = await results();
    expect(stall?.targets[0]?.rounds).toBe(1);
    expect(stall?.targets[0]?.p99Ratio.median).toBeGreaterThan(1.01);
  });

  it("that a server refuses ends the run with its reason", async () => {
    const server = await serve({
      tokenMs: 5,
      intercept: (response, ordinal) => {
        // The first request fits the prompt, the second is the stream.
        if (ordinal === 3) response.writeHead(400).end(JSON.stringify({ error: { message: "Too long." } }));
        return ordinal === 3;
      },
    });
    await expect(runBench("--target", server.origin, ...workload)).rejects.toThrow("HTTP 400: Too long.");
  });
});

describe("slow streams", () => {
  const workload = ["--scenario", "slow-readers", "--streams", "30", "--hold", "1", "--chunk-delay", "20"];

  it("are held on a real node through its native door, with its memory and its lag", async () => {
    const node = await startTestNode({ sequences: 64 });
    closers.push(() => node.close());
    const target = ["--target", `grpc://${node.node.grpcAddress}`, "--key", testSecret];
    const metrics = ["--metrics", `${node.node.webUrl}/metrics`, "--metrics-key", testSecret];
    const args = [...target, ...metrics, ...workload, "--rss-tree", String(process.pid)];
    // This process is the node, the client and the test: how late its event loop is says nothing.
    expect(await runBench(...args, "--lag-max", "60000")).toBe(0);
    const { slowReaders } = await results();
    expect(slowReaders).toMatchObject({ began: 30, processes: [expect.objectContaining({ pid: process.pid })] });
    expect(slowReaders?.lagP99Ms.median).toBeGreaterThanOrEqual(0);
    await expect.poll(() => node.metric("sluice_num_requests_running"), { timeout: 10_000 }).toBe(0);
    expect(JSON.stringify(await results())).not.toContain(testSecret);
  });

  it("are refused by a model that is not scripted", async () => {
    const server = await serve();
    await expect(runBench("--target", server.origin, ...workload)).rejects.toThrow(
      "needs a node with the scripted runtime",
    );
  });
});

it("the scheduler's cost is measured without a server", async () => {
  await runBench("--scenario", "step-cost", "--streams", "1,4", "--rounds", "1");
  const { stepCost, workload } = await results();
  expect(workload.scenario).toBe("step-cost");
  expect(stepCost.map(({ sequences, boundMs }) => [sequences, boundMs])).toEqual([
    [1, 0.25],
    [4, 0.4],
  ]);
});
