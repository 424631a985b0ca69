// The node as a process: what it logs, how it fails to start, and how it ends.
import { type ChildProcess, fork, spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { nativeClient } from "./testing/native-client.ts";
import { scripted, textOf } from "./testing/test-client.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const secret = "a-secret-for-tests-only";
const base = {
  PATH: "/usr/bin:/bin",
  SLUICE_RUNTIME: "scripted",
  SLUICE_NODE_SECRET: secret,
  SLUICE_NODE_GRPC_PORT: "0",
  SLUICE_NODE_WEB_PORT: "0",
};

interface Entry {
  event: string;
  [fact: string]: unknown;
}

interface Process {
  child: ChildProcess;
  entries: Entry[];
  exit: Promise<number | null>;
  logged(event: string): Promise<Entry>;
}

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function follow(child: ChildProcess): Process {
  children.push(child);
  const entries: Entry[] = [];
  const waiting: (() => void)[] = [];
  let rest = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) entries.push(JSON.parse(line) as Entry);
    for (const check of waiting) check();
  });
  const logged = (event: string): Promise<Entry> =>
    new Promise((resolve) => {
      const check = (): void => {
        const found = entries.find((entry) => entry.event === event);
        if (found) resolve(found);
      };
      waiting.push(check);
      check();
    });
  return { child, entries, logged, exit: new Promise((resolve) => child.once("close", resolve)) };
}

function launch(env: Record<string, string> = {}): Process {
  const options = { env: { ...base, ...env }, stdio: ["ignore", "pipe", "inherit"] as ["ignore", "pipe", "inherit"] };
  return follow(spawn(process.execPath, ["--experimental-strip-types", "--no-warnings", main], options));
}

describe("starting", () => {
  it("logs where it listens and that it is ready, each line with time, level and event", async () => {
    const node = launch();
    await node.logged("ready");
    expect(node.entries.map(({ event }) => event)).toEqual(["listening", "ready"]);
    expect(node.entries[0]).toMatchObject({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      grpc: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      web: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    });
    expect(node.entries[1]).toMatchObject({ models: ["scripted"] });
  });

  it.each([
    [{ SLUICE_NODE_SECRET: "" }, /^SLUICE_NODE_SECRET must be set/],
    [{ SLUICE_RUNTIME: "openai" }, /^SLUICE_RUNTIME=openai needs SLUICE_OPENAI_URL/],
    [{ SLUICE_RUNTIME: "llama", SLUICE_EMBEDDING_MODEL: "nope" }, /^no model is called "nope"/i],
    [{ SLUICE_NODE_GRPC_PORT: "http" }, /^SLUICE_NODE_GRPC_PORT must be a whole number/],
    [
      { SLUICE_NODE_TLS_CERT: "/nowhere.pem", SLUICE_NODE_TLS_KEY: "/nowhere.key" },
      /SLUICE_NODE_TLS_CERT names "\/nowhere.pem"/,
    ],
  ])("says in one sentence why it can't (%j)", async (env, sentence) => {
    const node = launch(env as Record<string, string>);
    expect(await node.exit).toBe(1);
    const last = node.entries.at(-1);
    expect(last).toMatchObject({ event: "fatal", level: "error", message: expect.stringMatching(sentence) });
    expect(String(last?.message)).not.toContain("\n");
  });

  it.each(["SLUICE_NODE_GRPC_PORT", "SLUICE_NODE_WEB_PORT"])(
    "names the address when %s is in use",
    async (variable) => {
      const other = createServer();
      await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
      const { port } = other.address() as { port: number };
      const node = launch({ [variable]: String(port) });
      expect(await node.exit).toBe(1);
      expect(node.entries.at(-1)?.message).toBe(
        `127.0.0.1:${port} is in use by another process: stop it or choose another port.`,
      );
      other.close();
    },
  );
});

describe("stopping", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("finishes what runs after %s and exits with 0", async (signal) => {
    const node = launch();
    const { grpc } = await node.logged("listening");
    await node.logged("ready");
    const client = nativeClient(String(grpc), { secret });
    const result = await client.generate(scripted({ text: "a b c d", delay_ms: 30 }), {
      onEvent: ({ event }) => {
        if (event.case === "prefilled") node.child.kill(signal);
      },
    });
    expect(textOf(result)).toBe("a b c d");
    expect(await node.exit).toBe(0);
    expect(node.entries.map(({ event }) => event)).toContain("not_serving");
    client.close();
  });

  it("ends at once on a second signal", async () => {
    const node = launch();
    const { grpc } = await node.logged("listening");
    const client = nativeClient(String(grpc), { secret });
    await node.logged("ready");
    const stream = client.generate(scripted({ prefill_ms: 60_000 }), {
      onEvent: () => node.child.kill("SIGTERM"),
    });
    await node.logged("stopping");
    node.child.kill("SIGTERM");
    expect(await node.exit).toBe(143);
    expect((await stream).failure).toBeDefined();
    client.close();
  });

  it("goes with the parent that forked it", async () => {
    const child = fork(main, { env: base, silent: true, execArgv: ["--experimental-strip-types", "--no-warnings"] });
    const node = follow(child);
    await node.logged("ready");
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.disconnect();
    expect(await exited).toBe(0);
  });
});
