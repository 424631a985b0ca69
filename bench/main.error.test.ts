// The entry as a process: sentences and exit codes.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { type FakeServer, startFakeServer } from "./fake-server.ts";

const entry = fileURLToPath(new URL("./main.ts", import.meta.url));
let server: FakeServer | undefined;

afterEach(() => server?.close());

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: string[]): { pid: number | undefined; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [entry, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<Ended>((resolve) => {
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { pid: child.pid, ended };
}

it("a wrong command line is one sentence and code 2", async () => {
  const { code, stderr } = await start(["--target", "http://127.0.0.1:1", "--streams", "many"]).ended;
  expect(stderr).toBe('bench: --streams takes whole numbers from 1 to 1024, not "many" (--help lists the options).\n');
  expect(code).toBe(2);
});

it("a server that is not there is one sentence and code 1", async () => {
  const gone = await startFakeServer();
  await gone.close();
  const { code, stderr } = await start(["--target", gone.origin]).ended;
  expect(stderr).toBe(`bench: ${gone.origin}/v1 can't be reached (connection refused); is the server running?\n`);
  expect(code).toBe(1);
});

it("a refused key is one sentence and code 1", async () => {
  server = await startFakeServer({ key: "right" });
  const { code, stderr } = await start(["--target", server.origin, "--key", "wrong"]).ended;
  expect(stderr).toMatch(/^bench: .* refuses the key \(401: .*\); pass a valid one with --key\.\n$/);
  expect(stderr).not.toContain("wrong");
  expect(code).toBe(1);
});

it("help is on stdout with code 0", async () => {
  const { code, stdout } = await start(["--help"]).ended;
  expect(stdout).toContain("--streams 1,4,8,16");
  expect(code).toBe(0);
});

it("SIGINT in mid-stream ends the run with 130 and no stack", async () => {
  let streaming: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    streaming = resolve;
  });
  server = await startFakeServer({
    tokenMs: 50,
    intercept: (_response, ordinal) => {
      if (ordinal === 2) streaming();
      return false;
    },
  });
  const { pid, ended } = start(["--target", server.origin, "--streams", "1", "--max-tokens", "1000"]);
  await begun;
  if (pid !== undefined) process.kill(pid, "SIGINT");
  const { code, stdout, stderr } = await ended;
  expect(code).toBe(130);
  expect(stdout).toContain("interrupted before anything was measured");
  expect(stderr).not.toMatch(/\bat .*\.ts:\d+/);
});
