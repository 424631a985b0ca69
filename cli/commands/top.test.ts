// `sluice top`: the figures of a node, once for a program or a file, and again each second in a terminal.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { readEnvironment } from "../config.ts";
import { fakeServer, type ServerAnswer, type ServerRequest, sluice } from "../testing/fake-world.ts";

const checkout = fileURLToPath(new URL("../..", import.meta.url));

/** A node's metrics after so many seconds of 50 tokens a second out and 100 in. */
function metricsAfter(seconds: number): string {
  const of = (name: string, value: number, more = ""): string => `sluice_${name}{model_name="tiny"${more}} ${value}`;
  const buckets = (name: string, count: number): string[] => [
    of(`${name}_bucket`, 0, ',le="0.02"'),
    of(`${name}_bucket`, count, ',le="0.04"'),
    of(`${name}_bucket`, count, ',le="+Inf"'),
  ];
  return [
    of("num_requests_running", 3),
    of("num_requests_waiting", 1, ',priority="interactive"'),
    of("num_requests_waiting", 2, ',priority="batch"'),
    of("generation_tokens_total", 50 * seconds),
    of("prompt_tokens_total", 100 * seconds),
    of("prefix_cache_queries_total", 100 * seconds),
    of("prefix_cache_hits_total", 75 * seconds),
    of("kv_cache_usage_perc", 0.5),
    of("request_success_total", seconds, ',finished_reason="stop"'),
    of("admission_rejections_total", 7, ',reason="queue_full"'),
    of("runtime_restarts_total", 2),
    of("requests_quarantined", 1),
    of("runtime_resident_memory_bytes", 400e6),
    ...buckets("time_to_first_token_seconds", seconds),
    ...buckets("inter_token_latency_seconds", 50 * seconds),
    "process_resident_memory_bytes 120000000",
    "process_cpu_seconds_total 4",
    "process_start_time_seconds 1000",
    "nodejs_eventloop_lag_p99_seconds 0.002",
    "",
  ].join("\n");
}

function fakeNode(answer: (request: ServerRequest) => ServerAnswer) {
  return fakeServer(answer);
}

test("--json gives figures that programs can use: shares, seconds, sums over queue classes", async () => {
  const { url } = await fakeNode(() => ({ body: metricsAfter(10) }));
  const { code, stdout, stderr } = await sluice(["top", "--json", "--node", url]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    node: url,
    memory_bytes: 120e6,
    event_loop_lag_p99: 0.002,
    models: [
      {
        model: "tiny",
        running: 3,
        waiting: 3,
        kv_cache_usage: 0.5,
        prefix_hit_rate: 0.75,
        ttft_p50: expect.closeTo(0.03),
        itl_p99: expect.closeTo(0.0398),
        rejected: 7,
        restarts: 2,
        quarantined: 1,
        engine_memory_bytes: 400e6,
      },
    ],
  });
});

test("where stdout is no terminal one view is printed, plain and within 80 columns", async () => {
  const { url } = await fakeNode(() => ({ body: metricsAfter(10) }));
  const { code, stdout } = await sluice(["top", "--node", url]);
  expect(code).toBe(0);
  expect(stdout).not.toContain("\u001b");
  for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  expect(stdout).toMatch(/^tiny {3}engine 400\.0 MB$/m);
  expect(stdout).toMatch(/running 3 +waiting 3/);
  expect(stdout).toMatch(/prefix hits 75 %/);
  expect(stdout).toMatch(/KV +██████░░░░░░ 50 %/);
  expect(stdout).toMatch(/rejected 7 .*restarts 2 .*quarantined 1/);
  expect(stdout).toContain("since the node's start");
});

test("a model that makes embeddings has no lines that mean nothing for it", async () => {
  const body =
    'sluice_num_requests_running{model_name="embedder"} 0\nsluice_generation_tokens_total{model_name="embedder"} 0\n';
  const { url } = await fakeNode(() => ({ body }));
  const { stdout } = await sluice(["top", "--once", "--node", url]);
  expect(stdout).toContain("embedder");
  expect(stdout).not.toMatch(/TTFT|KV/);
});

describe("whom it asks", () => {
  test("the node of the nearest dev.json, with its secret", async () => {
    const { url, requests } = await fakeNode(() => ({ body: metricsAfter(1) }));
    const dir = await mkdtemp(join(tmpdir(), "sluice-top-"));
    onTestFinished(() => rm(dir, { recursive: true }));
    await mkdir(join(dir, ".sluice"), { mode: 0o700 });
    const dev = { url: "http://127.0.0.1:1", nodeWeb: url, nodeSecret: "node-secret" };
    await writeFile(join(dir, ".sluice", "dev.json"), JSON.stringify(dev), { mode: 0o600 });
    expect((await sluice(["top", "--once"], { cwd: dir })).code).toBe(0);
    expect(requests[0]).toMatchObject({ url: "/metrics", authorization: "Bearer node-secret" });
    // Another node is not told the secret of this one.
    const other = await fakeNode(() => ({ body: metricsAfter(1) }));
    await sluice(["top", "--once", "--node", other.url], { cwd: dir });
    expect(other.requests[0]?.authorization).toBeUndefined();
  });

  test("the variables, where there is no such file", async () => {
    const { url, requests } = await fakeNode(() => ({ body: metricsAfter(1) }));
    await sluice(["top", "--once"], { env: { SLUICE_NODE_URL: `${url}/`, SLUICE_NODE_SECRET: "s" } });
    expect(requests[0]).toMatchObject({ url: "/metrics", authorization: "Bearer s" });
  });
});

test.each([
  ["no node is named", [], undefined, "No node is named"],
  ["the URL is none", ["--node", "nonsense"], undefined, "is no http or https URL"],
  ["nothing listens", ["--node", "http://127.0.0.1:1"], undefined, "No node answers at http://127.0.0.1:1"],
  ["the secret is wrong", [], { status: 401, body: "no" }, "set SLUICE_NODE_SECRET"],
  ["something else answers", [], { body: "<html>" }, "is no Sluice node"],
])("says in a sentence that %s", async (_name, args, answer, sentence) => {
  const given = answer === undefined ? args : ["--node", (await fakeNode(() => answer)).url];
  const { code, stdout, stderr } = await sluice(["top", "--once", ...given]);
  expect(code).toBeGreaterThan(0);
  expect(stdout).toBe("");
  expect(stderr).toContain(sentence);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});

test("an argument that it does not take is a usage error", async () => {
  expect(await sluice(["top", "models"])).toMatchObject({ code: 2, stderr: expect.stringContaining('"models"') });
});

describe("in a terminal", () => {
  const enter = "\u001b[?1049h\u001b[?25l";
  const leave = "\u001b[?25h\u001b[?1049l";

  /** The frames that were drawn, as the text that a person saw. */
  const framesOf = (output: string): string[] =>
    output
      .split("\u001b[H")
      .slice(1)
      .map((frame) => stripVTControlCharacters(frame.split("\u001b[J")[0] ?? "").replaceAll("\r", ""));

  async function runInTerminal(url: string): Promise<{ child: ChildProcess; output: () => string }> {
    const node = [process.execPath, ...process.execArgv].join(" ");
    const command = `stty cols 80 rows 24; exec ${node} cli/main.ts top`;
    const child = spawn("/usr/bin/script", ["-qec", command, "/dev/null"], {
      cwd: checkout,
      env: { ...readEnvironment().inherited, SLUICE_NODE_URL: url, TERM: "xterm" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    return { child, output: () => output };
  }

  test("it draws anew each second without wiping, fits the size, and Ctrl-C gives the terminal back", async () => {
    let scrapes = 0;
    const { url } = await fakeNode(() => ({ body: metricsAfter(++scrapes) }));
    const { child, output } = await runInTerminal(url);
    const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
    await expect.poll(() => framesOf(output()).length, { timeout: 15_000 }).toBeGreaterThanOrEqual(3);
    child.stdin?.write("\u0003");
    expect(await exited).toBe(130);
    expect(output()).toContain(enter);
    expect(output().trimEnd().endsWith(leave)).toBe(true);
    // A wipe of the whole screen before a frame is what flickers.
    expect(output()).not.toContain("\u001b[2J");
    const [, second = ""] = framesOf(output());
    for (const line of second.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    expect(second.split("\n").length).toBeLessThanOrEqual(24);
    // One step of the fake's counters in about a second.
    const outRate = Number(/out (\d+)\/s/.exec(second)?.[1]);
    expect(outRate).toBeGreaterThan(5);
    expect(outRate).toBeLessThanOrEqual(60);
    expect(second).toContain("of the last second");
  });

  test("a node that goes away is said, waited for, and shown again", async () => {
    let away = false;
    const server = createServer((_request, response) => {
      if (away) response.destroy();
      else response.end(metricsAfter(1));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { child, output } = await runInTerminal(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const last = (): string => framesOf(output()).at(-1) ?? "";
    await expect.poll(last, { timeout: 15_000 }).toContain("tiny");
    away = true;
    await expect.poll(last, { timeout: 15_000 }).toContain("No node answers");
    away = false;
    await expect.poll(last, { timeout: 15_000 }).toContain("of the last second");
    child.stdin?.write("\u0003");
    await exited;
  });
});
