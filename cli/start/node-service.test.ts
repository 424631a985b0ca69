// What start learns from the node's log, and what it tells the node.
import { expect, test } from "vitest";
import { learn, type NodeFacts, nodeSpec } from "./node-service.ts";

const options = { port: 0, runtime: "llama", model: undefined, stateDir: "/s", verbose: false } as const;
const secrets = { version: 1, nodeSecret: "n".repeat(64), keyPepper: "p".repeat(64), adminKey: "a".repeat(53) };

function spec(facts: NodeFacts, inherited: Record<string, string> = {}, model?: string) {
  return nodeSpec({
    root: "/checkout",
    options: { ...options, model },
    secrets,
    paths: { logs: "/s/logs" },
    inherited,
    facts,
  });
}

test("doors, the child's process, models and the last word are learned", () => {
  const facts: NodeFacts = { runtimePid: null };
  const lines = [
    '{"event":"listening","grpc":"127.0.0.1:1","web":"http://127.0.0.1:2"}',
    '{"event":"runtime.started","pid":3}',
    '{"event":"ready","models":["m"]}',
    '{"event":"fatal","message":"No memory."}',
  ];
  expect(lines.map((line) => learn(facts, line))).toEqual([true, true, true, true]);
  expect(facts).toEqual({
    grpc: "127.0.0.1:1",
    web: "http://127.0.0.1:2",
    runtimePid: 3,
    models: ["m"],
    fatal: "No memory.",
  });
});

test("the process of the first model's child stays the one that is told, whatever other children come and go", () => {
  const facts: NodeFacts = { runtimePid: null };
  const started = (pid: number, model: string): boolean =>
    learn(facts, JSON.stringify({ event: "runtime.started", pid, model }));
  expect([started(3, "chat"), started(4, "vectors"), started(5, "chat"), started(6, "vectors")]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect(facts.runtimePid).toBe(5);
});

test("what the node waits for is learned, and forgotten when it is ready", () => {
  const facts: NodeFacts = { runtimePid: null };
  expect(learn(facts, '{"event":"upstream.waiting","message":"No engine answers."}')).toBe(true);
  expect(facts.waiting).toBe("No engine answers.");
  learn(facts, '{"event":"ready","models":["m"]}');
  expect(facts).toEqual({ runtimePid: null, models: ["m"] });
});

test.each(["", "ggml: loading", "null", "[]", '"text"', "3", '{"event":"generate.end"}', "{"])(
  "a line like %j teaches nothing",
  (line) => {
    const facts: NodeFacts = { runtimePid: null };
    expect(learn(facts, line)).toBe(false);
    expect(facts).toEqual({ runtimePid: null });
  },
);

test("the first node takes any free ports, unless the user names them", () => {
  expect(spec({ runtimePid: null }).env).toMatchObject({ SLUICE_NODE_GRPC_PORT: "0", SLUICE_NODE_WEB_PORT: "0" });
  const env = spec({ runtimePid: null }, { SLUICE_NODE_GRPC_PORT: "7", SLUICE_NODE_WEB_PORT: "8" }).env;
  expect(env).toMatchObject({ SLUICE_NODE_GRPC_PORT: "7", SLUICE_NODE_WEB_PORT: "8" });
});

test("a node that is started again comes back behind the same doors", () => {
  const env = spec({ runtimePid: null, grpc: "127.0.0.1:11", web: "http://127.0.0.1:22" }).env;
  expect(env).toMatchObject({ SLUICE_NODE_GRPC_PORT: "11", SLUICE_NODE_WEB_PORT: "22" });
});

test("the node listens on loopback with our secret, whatever the environment says", () => {
  const { env, args, channel } = spec(
    { runtimePid: null },
    { SLUICE_NODE_HOST: "0.0.0.0", SLUICE_NODE_SECRET: "theirs", SLUICE_RUNTIME: "openai" },
    "m.gguf",
  );
  expect(env).toMatchObject({
    SLUICE_NODE_HOST: "127.0.0.1",
    SLUICE_NODE_SECRET: secrets.nodeSecret,
    SLUICE_RUNTIME: "llama",
    SLUICE_MODEL: "m.gguf",
  });
  expect(args.join(" ")).not.toContain(secrets.nodeSecret);
  expect(channel).toBe(true);
});

test("streams get two seconds after Ctrl-C, or what the user says", () => {
  expect(spec({ runtimePid: null }).env.SLUICE_DRAIN_GRACE_MS).toBe("2000");
  expect(spec({ runtimePid: null }, { SLUICE_DRAIN_GRACE_MS: "9" }).env.SLUICE_DRAIN_GRACE_MS).toBe("9");
});

test("reports on native children that died lie beside the logs, unless the user says where", () => {
  expect(spec({ runtimePid: null }).env).toMatchObject({ SLUICE_CRASH_DIR: "/s/logs/crashes" });
  expect(spec({ runtimePid: null }, { SLUICE_CRASH_DIR: "/c" }).env).toMatchObject({ SLUICE_CRASH_DIR: "/c" });
});
