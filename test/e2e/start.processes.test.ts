// What `npm start` starts lives and dies with it: crashes are mended, and no end leaves a process behind.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ProcessRow, survivorsOf, treeOf } from "../support/process-tree.ts";
import { root, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/wait.ts";

function gone(rows: ProcessRow[], timeoutMs = 10_000): Promise<true> {
  return until("every process to be gone", () => survivorsOf(rows).length === 0, timeoutMs);
}

/** `npm start` itself, from the outside. */
async function underNpm(stateDir: string): Promise<{ pid: number; exited: Promise<number | null> }> {
  const args = ["start", "--silent", "--", "--runtime", "scripted", "--port", "0", "--state", stateDir];
  const npm = spawn("npm", args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  npm.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const exited = new Promise<number | null>((resolve) => npm.once("exit", resolve));
  await until("npm start to be ready", () => output.includes("Sluice is ready."), 60_000);
  return { pid: npm.pid as number, exited };
}

describe("an end leaves no process behind", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("after %s to start", async (signal) => {
    await using stack = await startStack({ runtime: "scripted" });
    const tree = treeOf(stack.pids.start);
    expect(tree.map((row) => row.command).join("\n")).toMatch(/workerd/);
    process.kill(stack.pids.start, signal);
    await gone(tree);
  });

  test("after SIGTERM to npm itself, which waits until all is down", async () => {
    const stateDir = mkdtempSync(join(tmpdir(), "sluice-npm-"));
    try {
      const npm = await underNpm(stateDir);
      const tree = treeOf(npm.pid);
      process.kill(npm.pid, "SIGTERM");
      await npm.exited;
      expect(survivorsOf(tree)).toEqual([]);
    } finally {
      rmSync(stateDir, { recursive: true, force: true });
    }
  });

  test("after SIGKILL to start, which can no longer do anything about it", async () => {
    await using stack = await startStack({ runtime: "scripted" });
    const tree = treeOf(stack.pids.start);
    process.kill(stack.pids.start, "SIGKILL");
    await gone(tree);
  });
});

describe("a crash is mended", () => {
  let stack: Stack;

  beforeAll(async () => {
    stack = await startStack({ runtime: "scripted" });
  });

  afterAll(() => stack?.stop());

  async function answers(): Promise<boolean> {
    try {
      const response = await fetch(`${stack.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" },
        body: JSON.stringify({ model: "scripted", messages: [{ role: "user", content: "Are you there?" }] }),
        signal: AbortSignal.timeout(2_000),
      });
      return response.ok && (await response.text()).includes("Are you there?");
    } catch {
      return false;
    }
  }

  test("a killed node comes back behind the same doors", async () => {
    const before = stack.pids.node as number;
    process.kill(before, "SIGKILL");
    await until("another node", () => stack.pids.node !== null && stack.pids.node !== before);
    await until("an answer", answers);
    expect(stack.nodeEvents("listening").at(-1)).toMatchObject({ grpc: stack.nodeGrpc, web: stack.nodeWeb });
    expect(stack.output()).toContain("The node ended unexpectedly (SIGKILL); starting it again.");
  });

  test("a killed wrangler comes back on the same port, and its workerd does not stay", async () => {
    const tree = treeOf(stack.pids.edge as number);
    process.kill(stack.pids.edge as number, "SIGKILL");
    await gone(tree);
    await until("an answer", answers);
    expect(treeOf(stack.pids.edge as number).some((row) => /workerd/.test(row.command))).toBe(true);
  });

  test("a killed workerd, which wrangler survives, comes back too", async () => {
    const workerds = treeOf(stack.pids.edge as number).filter((row) => /workerd.* serve/.test(row.command));
    expect(workerds.length).toBeGreaterThan(0);
    for (const { pid } of workerds) process.kill(pid, "SIGKILL");
    await until("an answer", answers, 40_000);
  });

  test("a workerd that hangs is replaced: it does not die, nobody says so, it only answers no more", async () => {
    // One that has answered start's own probe: another would be given a minute to come up.
    const probes = (): number => stack.logs().split('"/healthz"').length;
    const probesBefore = probes();
    await until("a probe", () => probes() > probesBefore);
    const before = stack.pids.edge;
    const tree = treeOf(before as number);
    for (const { pid } of tree.filter((row) => /workerd.* serve/.test(row.command))) process.kill(pid, "SIGSTOP");
    const stoppedAt = performance.now();
    await until("another edge", () => stack.pids.edge !== null && stack.pids.edge !== before, 60_000);
    console.log(`replaced ${Math.round(performance.now() - stoppedAt)} ms after it hung`);
    expect(stack.output()).toContain("The edge no longer answers; ending it.");
    await gone(tree);
    await until("an answer", answers, 40_000);
  }, 120_000);
});

describe("a crash that repeats", () => {
  test("ends start with a sentence, and nothing stays", async () => {
    await using stack = await startStack({ runtime: "scripted" });
    const tree = treeOf(stack.pids.start);
    for (let crashes = 0; crashes < 6; crashes += 1) {
      const pid = await until("a node", () => runningNode(stack), 15_000);
      if (pid === "ended") break;
      process.kill(pid, "SIGKILL");
      await until("its end", () => runningNode(stack) !== pid);
    }
    await gone(tree, 15_000);
    expect(stack.output()).toMatch(/sluice: The node crashes again and again \(last: SIGKILL\): see .*node\.log\./);
  });
});

/** The node's process id, "ended" when start has taken its description back. */
function runningNode(stack: Stack): number | "ended" | undefined {
  try {
    return stack.pids.node ?? undefined;
  } catch {
    return "ended";
  }
}
