// A node with the scripted runtime on loopback, and one kind of client for each of its doors.
import { readFileSync } from "node:fs";
import { systemClock } from "../clock.ts";
import type { TlsMaterial } from "../doors/tls.ts";
import type { LogEntry } from "../log.ts";
import { type NodeOptions, type RunningNode, startNode } from "../node.ts";
import type { Runtime } from "../runtime.ts";
import { createScriptedRuntime } from "../runtimes/scripted.ts";
import { nativeClient } from "./native-client.ts";
import type { TestClient } from "./test-client.ts";
import { webClient } from "./web-client.ts";

export const testSecret = "a-secret-for-tests-only";

export interface TestNode {
  node: RunningNode;
  runtime: Runtime;
  /** What was logged, oldest first. */
  entries: LogEntry[];
  /** A client with the right secret for each door. */
  clients: { native: TestClient; web: TestClient };
  /** Prometheus text, fetched with the secret. */
  metrics(): Promise<string>;
  /** The value of a metric's first sample. */
  metric(name: string): Promise<number>;
  close(): Promise<void>;
}

export interface TestNodeOptions extends Partial<NodeOptions> {
  sequences?: number;
  contextLength?: number;
  /** False leaves the model unloaded. */
  load?: boolean;
}

/** A PEM file of the test authority. */
export function fixture(name: string): Buffer {
  return readFileSync(new URL(`./fixtures/${name}`, import.meta.url));
}

/** Server material that asks for client certificates of the test authority. */
export const mutualTls: TlsMaterial = {
  cert: fixture("server.pem"),
  key: fixture("server.key.pem"),
  clientCa: fixture("ca.pem"),
};

/** Starts a node on free ports. */
export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const { sequences, contextLength, load = true, ...rest } = options;
  const runtime = rest.runtime ?? createScriptedRuntime({ clock: systemClock, sequences, contextLength });
  const entries: LogEntry[] = [];
  const node = await startNode({
    clock: systemClock,
    log: (entry) => entries.push(entry),
    host: "127.0.0.1",
    grpcPort: 0,
    webPort: 0,
    secret: testSecret,
    tls: undefined,
    nodeId: "test-node",
    queueDepthMax: 16,
    queueTokensMax: 10_000,
    batchSlotsPercent: 75,
    restartHoldMs: 0,
    ...rest,
    runtime,
  });
  if (load) await node.load();
  const native = nativeClient(node.grpcAddress, { secret: testSecret });
  const metrics = async (): Promise<string> => {
    const response = await fetch(`${node.webUrl}/metrics`, { headers: { authorization: `Bearer ${testSecret}` } });
    return response.text();
  };
  return {
    node,
    runtime,
    entries,
    clients: { native, web: webClient(node.webUrl, { secret: testSecret }) },
    metrics,
    metric: async (name) => {
      const line = (await metrics())
        .split("\n")
        .find((one) => one.startsWith(`${name}{`) || one.startsWith(`${name} `));
      return Number(line?.split(" ").at(-1) ?? 0);
    },
    close: async () => {
      native.close();
      await node.shutDown(0);
    },
  };
}

/** Resolves when `condition` holds; rejects after `timeoutMs`. */
export async function eventually(condition: () => boolean | Promise<boolean>, timeoutMs = 2_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`It did not come to pass within ${timeoutMs} ms.`);
    await systemClock.sleep(5);
  }
}
